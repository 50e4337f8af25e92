"""The two passes over the rows of a pool, a batch at a time: what it holds, and what each row weighs."""

from collections.abc import Iterator, Mapping

import polars as pl

from infinity_assets.parallel import in_order
from infinity_assets.rows import conversation
from infinity_assets.selection.dsir.features import ngrams
from infinity_assets.selection.dsir.weights import Counts, Fitted, Part, counted, weigh
from infinity_assets.settings.foundation import Dsir

BATCH = 8_000
"""Rows in memory at a time and thread: some ten MB of prompts, some hundred at most."""

NO_ANSWER, NO_TARGET, NO_TEXT = "no_answer", "no_target", "no_text"
"""Why a row has no weight: it is no conversation; its domain has no target; its prompt has no token."""

IMPORTANCE = pl.Schema(
    {
        "row_id": pl.String,
        "domain": pl.String,
        "prompt_tokens": pl.Int64,
        "log_weight": pl.Float64,
        "stratum": pl.Int64,
        "share": pl.Float64,
        "importance_error": pl.String,
    }
)
"""What a row weighs."""


def _prompts(rows: pl.LazyFrame, *columns: str) -> Iterator[pl.DataFrame]:
    """The columns and `prompt`, all user turns."""
    texts = rows.select(*columns, conversation.content_of("user").alias("prompt"))
    return texts.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")


def count_rows(rows: pl.LazyFrame, settings: Dsir, workers: int) -> dict[Part, Counts]:
    """What conversations hold, by domain that has a target (`pool`), and by source that is named as one (`target`).

    Args:
        rows: Columns domain, source, kind, messages.
        settings: What is counted.
        workers: Threads.
    """
    domains, names = list(settings.targets), sorted({name for names in settings.targets.values() for name in names})
    needed = (pl.col("kind") == "conversation") & (pl.col("domain").is_in(domains) | pl.col("source").is_in(names))

    def part(batch: pl.DataFrame) -> dict[Part, Counts]:
        found = ngrams(batch["prompt"], settings)
        masks = [(("pool", name), batch["domain"] == name) for name in domains] + [
            (("target", name), batch["source"] == name) for name in names
        ]
        return {key: counted(found, mask.to_numpy(), settings) for key, mask in masks if mask.any()}

    total: dict[Part, Counts] = {}
    for counts in in_order(part, _prompts(rows.filter(needed), "domain", "source"), workers):
        for key, more in counts.items():
            total[key] = total[key].plus(more) if key in total else more
    return total


def weigh_rows(rows: pl.LazyFrame, fitted: Mapping[str, Fitted], settings: Dsir, workers: int) -> pl.DataFrame:
    """`IMPORTANCE` of every row, sorted by row id; a weight is null with its reason.

    Args:
        rows: Columns row_id, domain, kind, messages.
        fitted: By domain, what its weights are made of.
        settings: How texts were counted.
        workers: Threads.
    """
    why = (
        pl.when(pl.col("kind") != "conversation")
        .then(pl.lit(NO_ANSWER))
        .when(~pl.col("domain").is_in(list(fitted)))
        .then(pl.lit(NO_TARGET))
    )

    def part(batch: pl.DataFrame) -> pl.DataFrame:
        parts = []
        for (domain,), own in batch.group_by("domain"):
            weights = weigh(own["prompt"], fitted[str(domain)], settings)
            failed = pl.when(pl.col("log_weight").is_null()).then(pl.lit(NO_TEXT)).alias("importance_error")
            parts.append(pl.concat([own.select("row_id", "domain"), weights], how="horizontal").with_columns(failed))
        return pl.concat(parts)

    without = (
        rows.filter(why.is_not_null())
        .select("row_id", "domain", why.alias("importance_error"))
        .collect(engine="streaming")
    )
    weighed = in_order(part, _prompts(rows.filter(why.is_null()), "row_id", "domain"), workers)
    table = pl.concat([pl.DataFrame(schema=IMPORTANCE), without, *weighed], how="diagonal")
    return table.select(list(IMPORTANCE)).sort("row_id")
