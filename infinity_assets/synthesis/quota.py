"""So many accepted rows, and no more candidates tried than it takes."""

import math
from collections.abc import Callable

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import draw, shard_names
from infinity_assets.synthesis.lineage import Generation

WAVE = 16
"""Fewer candidates than this are not tried at a time: an engine wants a batch."""
FIRST_GUESS = 0.7
"""Share of the candidates of the first wave that is expected to be accepted."""

NOTHING = schema.empty(pl.Schema({"row_id": pl.String, "reason": pl.String, "detail": pl.String}))
"""No failures."""


def share_of(wanted: int, shards: int, partition: str) -> int | None:
    """A shard's part of a number of rows over all shards; null for 0, which means as many as there are."""
    if not wanted:
        return None
    place = shard_names(shards).index(partition)
    return wanted // shards + (place < wanted % shards)


def until_accepted(
    candidates: pl.DataFrame,
    wanted: int | None,
    stage: str,
    make: Callable[[pl.DataFrame], pl.DataFrame],
    settle: Callable[[pl.DataFrame, pl.DataFrame], Generation],
) -> tuple[Generation, pl.DataFrame]:
    """Try candidates until enough of what they lead to is accepted.

    They are tried in an order drawn by (stage, row id), wave by wave, each as large as the share accepted so far makes necessary. What is tried is a
    beginning of that order, so a larger number goes on where a smaller one ended.

    Args:
        candidates: One line per parent, with row_id.
        wanted: Accepted rows; null takes every candidate at once.
        stage: Seeds the order.
        make: What candidates lead to: one line per candidate, in any order.
        settle: Decides about the lines of all waves together; its second argument names what fails besides the rules: row_id, reason, detail.

    Returns:
        The generation, with no more than `wanted` rows kept (the surplus of the last wave is dropped as `over_quota`), and the decisions on
        candidates that were not tried, `not_needed`.
    """
    if wanted is None:
        return settle(make(candidates), NOTHING), schema.empty(schema.DECISIONS)
    ordered = candidates.with_columns(draw(stage, candidates["row_id"])).sort("draw", "row_id").drop("draw")
    made, tried = [make(ordered.clear())], 0
    generation = settle(made[0], NOTHING)
    while (accepted := generation.kept.height) < wanted and tried < ordered.height:
        share = accepted / tried if accepted else FIRST_GUESS / len(made)
        wave = ordered.slice(tried, max(WAVE, math.ceil((wanted - accepted) / share)))
        made.append(make(wave))
        tried += wave.height
        generation = settle(pl.concat(made), NOTHING)
    place = ordered.select(pl.col("row_id").alias("parent"), place=pl.int_range(pl.len()))
    surplus = NOTHING
    while generation.kept.height > wanted:  # again, because what was dropped as a copy of the surplus may stand now
        kept = generation.kept.select(parent=pl.col("parents").list.first()).join(place, on="parent").sort("place")
        detail = pl.struct(wanted=pl.lit(wanted)).struct.json_encode()
        surplus = pl.concat(
            [surplus, kept.slice(wanted).select(row_id="parent", reason=pl.lit("over_quota"), detail=detail)]
        )
        generation = settle(pl.concat(made), surplus)
    detail = pl.struct(wanted=pl.lit(wanted), tried=pl.lit(tried)).struct.json_encode()
    left = ordered.slice(tried).with_columns(verdict=pl.lit("dropped"), reason=pl.lit("not_needed"), detail=detail)
    return generation, left.select(pl.col(name).cast(dtype) for name, dtype in schema.DECISIONS.items())
