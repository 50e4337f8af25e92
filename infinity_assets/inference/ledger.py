"""What the model calls of a step came to: its lines for the books, and the numbers for its page."""

from collections import defaultdict

import polars as pl

from infinity_assets.rows.schema import GENERATIONS, empty


class Ledger:
    """Every batch of calls that a step made."""

    def __init__(self) -> None:
        self._books: list[pl.DataFrame] = []
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, books: pl.DataFrame, seconds: float) -> None:
        """Write down a batch.

        Args:
            books: Lines of schema `GENERATIONS`, all of one model.
            seconds: How long its engine worked on them.
        """
        self._books.append(books)
        if books.height:
            self._seconds[books["model"][0]] += seconds

    @property
    def generations(self) -> pl.DataFrame:
        """All lines."""
        return pl.concat([empty(GENERATIONS), *self._books])

    @property
    def seconds(self) -> float:
        """How long engines worked."""
        return sum(self._seconds.values())

    def measures(self) -> dict[str, int | float | str]:
        """Calls, tokens of the calls really made, their speed and their cost; nothing where no call was asked for."""
        books = self.generations
        if books.is_empty():
            return {}
        made = books.filter(~pl.col("cached"))
        classes = books.drop_nulls("error").group_by("error").len("calls").sort("error")
        by_class = ", ".join(f"{calls} {error}" for error, calls in classes.iter_rows())
        paid = float(made["cost"].sum())
        tokens = int(made["completion_tokens"].sum()), int(made["prompt_tokens"].sum())
        rates = {"completion tokens per second": tokens[0], "prompt tokens per second": tokens[1]}
        return {
            "model calls": books.height,
            "model calls made": made.height,
            "answered from the store": books.height - made.height,
            "model calls failed": books["error"].count(),
            **({"failed by class": by_class} if by_class else {}),
            "prompt tokens": tokens[1],
            "completion tokens": tokens[0],
            "engine seconds": round(self.seconds, 1),
            **(
                {name: round(count / self.seconds, 1) for name, count in rates.items()}
                if self.seconds > 0 and made.height
                else {}
            ),
            **({"cost": round(paid, 4)} if paid else {}),
        }

    def table(self) -> pl.DataFrame:
        """Calls by model and prompt, with the failures by class: a line each."""
        made = ~pl.col("cached")
        failed = (
            self.generations.filter(pl.col("error").is_not_null())
            .group_by("model", "prompt", "error")
            .len("calls")
            .sort("model", "prompt", "error")
            .group_by("model", "prompt", maintain_order=True)
            .agg(pl.format("{} {}", "calls", "error").str.join(", ").alias("failed"))
        )
        return (
            self.generations.group_by("model", "prompt")
            .agg(
                pl.len().alias("calls"),
                made.sum().alias("made"),
                pl.col("prompt_tokens").filter(made).sum(),
                pl.col("completion_tokens").filter(made).sum(),
                pl.col("cost").sum().round(4),
            )
            .join(failed, on=["model", "prompt"], how="left")
            .with_columns(pl.col("failed").fill_null(""))
            .sort("model", "prompt")
        )
