"""Record of a step's model calls, for the ledger table `generations` and the measures on the asset's page."""

import polars as pl

from infinity_assets.rows.schema import GENERATIONS

WORDS_ONLY = "choices without log-probabilities"
"""Measure of an asset: the number of choices of a judge that are known only by the word that it wrote."""


class Ledger:
    """A record of the model calls of a step, to which batches are added."""

    def __init__(self) -> None:
        self._batches: list[pl.DataFrame] = []
        self.seconds = 0.0
        """Total seconds that engines worked."""
        self.words_only = 0
        """Number of choices without log-probabilities, of which only the word that the model wrote is known."""

    def add(self, generations: pl.DataFrame, seconds: float) -> None:
        """Add the calls of a batch, of schema `GENERATIONS`, and the seconds that the engine worked on them."""
        self._batches.append(generations)
        if generations.height:
            self.seconds += seconds

    @property
    def generations(self) -> pl.DataFrame:
        """All calls, with schema `GENERATIONS`."""
        return pl.concat([GENERATIONS.to_frame(), *self._batches])

    def measures(self) -> dict[str, int | float | str]:
        """Return the number of calls, and the tokens, speed and cost of the calls that reached a model.

        The result is empty if the step made no request.
        """
        calls = self.generations
        if calls.is_empty():
            return {}
        new = calls.filter(~pl.col("cached"))
        classes = calls.drop_nulls("error").group_by("error").len("calls").sort("error")
        by_class = ", ".join(f"{count} {error}" for error, count in classes.iter_rows())
        cost = float(new["cost"].sum())
        prompt_tokens = int(new["prompt_tokens"].sum())
        completion_tokens = int(new["completion_tokens"].sum())
        rates = {"completion tokens per second": completion_tokens, "prompt tokens per second": prompt_tokens}
        return {
            "model calls": calls.height,
            "model calls made": new.height,
            "answered from the store": calls.height - new.height,
            "model calls failed": calls["error"].count(),
            **({"failed by class": by_class} if by_class else {}),
            **({WORDS_ONLY: self.words_only} if self.words_only else {}),
            "prompt tokens": prompt_tokens,
            "completion tokens": completion_tokens,
            "engine seconds": round(self.seconds, 1),
            **{name: round(count / self.seconds, 1) for name, count in rates.items() if self.seconds and new.height},
            **({"cost": round(cost, 4)} if cost else {}),
        }

    def table(self) -> pl.DataFrame:
        """Return calls, tokens and cost per model and prompt. The column `failed` lists the failures by error class."""
        new = ~pl.col("cached")
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
                new.sum().alias("made"),
                pl.col("prompt_tokens").filter(new).sum(),
                pl.col("completion_tokens").filter(new).sum(),
                pl.col("cost").sum().round(4),
            )
            .join(failed, on=["model", "prompt"], how="left")
            .with_columns(pl.col("failed").fill_null(""))
            .sort("model", "prompt")
        )
