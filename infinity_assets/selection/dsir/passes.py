"""The two passes over the rows of a pool, in batches: the first counts n-grams, the second weighs rows."""

from collections.abc import Iterator, Mapping

import polars as pl

from infinity_assets.parallel import map_in_order
from infinity_assets.rows import conversation
from infinity_assets.selection.dsir.features import ngrams
from infinity_assets.selection.dsir.weights import Counts, Fitted, Part, count_selected, weigh
from infinity_assets.selection.selector import first_condition
from infinity_assets.settings.foundation import Dsir

BATCH = 8_000
"""Rows that a thread holds in memory: about 10 MB of prompts, 100 MB at most."""

IMPORTANCE = pl.Schema({
    "row_id": pl.String, "domain": pl.String, "prompt_tokens": pl.Int64, "log_weight": pl.Float64, "stratum": pl.Int64,
    "share": pl.Float64, "importance_error": pl.String,
})  # fmt: skip
"""Importance weights. Grain: a row. Key: row_id. `importance_error` is the reason of a null weight: no_answer (the row
is not a conversation), no_target (its domain has no target) or no_text (its prompt has no token)."""


def _prompts(rows: pl.LazyFrame, *columns: str) -> Iterator[pl.DataFrame]:
    """Stream these columns and `prompt`, which joins all user turns."""
    texts = rows.select(*columns, conversation.content_of("user").alias("prompt"))
    return texts.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")


def count_rows(rows: pl.LazyFrame, settings: Dsir, workers: int) -> dict[Part, Counts]:
    """Count the n-grams of conversations per domain that has a target (`pool`) and per source in a target (`target`).

    `rows` has the columns domain, source, kind and messages. `workers` is the number of threads.
    """
    domains = list(settings.targets)
    names = sorted({name for names in settings.targets.values() for name in names})
    needed = (pl.col("kind") == "conversation") & (pl.col("domain").is_in(domains) | pl.col("source").is_in(names))

    def part(batch: pl.DataFrame) -> dict[Part, Counts]:
        grams = ngrams(batch["prompt"], settings)
        masks = {("pool", name): batch["domain"] == name for name in domains}
        masks |= {("target", name): batch["source"] == name for name in names}
        return {key: count_selected(grams, mask.to_numpy(), settings) for key, mask in masks.items() if mask.any()}

    total: dict[Part, Counts] = {}
    for counts in map_in_order(part, _prompts(rows.filter(needed), "domain", "source"), workers):
        for key, more in counts.items():
            total[key] = total[key].add(more) if key in total else more
    return total


def weigh_rows(rows: pl.LazyFrame, fitted: Mapping[str, Fitted], settings: Dsir, workers: int) -> pl.DataFrame:
    """Compute the importance weight of every row for the target of its domain: schema `IMPORTANCE`, sorted by row id.

    `rows` has the columns row_id, domain, kind and messages. `workers` is the number of threads.
    """
    no_target = ~pl.col("domain").is_in(list(fitted))
    reason = first_condition({"no_answer": pl.col("kind") != "conversation", "no_target": no_target})

    def part(batch: pl.DataFrame) -> pl.DataFrame:
        parts = []
        for (domain,), own in batch.group_by("domain"):
            weights = weigh(own["prompt"], fitted[str(domain)], settings)
            failed = pl.when(pl.col("log_weight").is_null()).then(pl.lit("no_text")).alias("importance_error")
            parts.append(pl.concat([own.select("row_id", "domain"), weights], how="horizontal").with_columns(failed))
        return pl.concat(parts)

    unweighted = rows.filter(reason.is_not_null()).select("row_id", "domain", importance_error=reason)
    weighed = map_in_order(part, _prompts(rows.filter(reason.is_null()), "row_id", "domain"), workers)
    parts = [pl.DataFrame(schema=IMPORTANCE), unweighted.collect(engine="streaming"), *weighed]
    return pl.concat(parts, how="diagonal").select(list(IMPORTANCE)).sort("row_id")
