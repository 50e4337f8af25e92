"""A quota of accepted rows, reached with as few candidates as possible."""

import math
from collections.abc import Callable

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import draw, shard_names
from infinity_assets.synthesis.lineage import Generation

WAVE = 16
"""Minimum number of candidates in a wave, because engines are slow without a batch."""
FIRST_GUESS = 0.7
"""Assumed share of candidates that are accepted, for the size of the first wave."""

NO_FAILURES = pl.DataFrame(schema={"row_id": pl.String, "reason": pl.String, "detail": pl.String})
"""An empty frame of failed candidates."""


def shard_quota(wanted: int, shards: int, partition: str) -> int | None:
    """Return a shard's part of a total number of rows, or `None` if the total is 0, which means all rows."""
    if not wanted:
        return None
    place = shard_names(shards).index(partition)
    return wanted // shards + (place < wanted % shards)


def try_until_accepted(
    candidates: pl.DataFrame,
    wanted: int | None,
    stage: str,
    make: Callable[[pl.DataFrame], pl.DataFrame],
    settle: Callable[[pl.DataFrame, pl.DataFrame], Generation],
) -> tuple[Generation, pl.DataFrame]:
    """Try candidates until enough of their children are accepted.

    Candidates are tried in waves, in a random order that stage and row id determine. The share accepted so far
    determines the size of a wave. Because the order is fixed, a larger quota continues where a smaller one ended.

    Args:
        candidates: One line per parent, with row_id.
        wanted: Maximum number of accepted rows; `None` tries all candidates at once.
        stage: Name that seeds the random order.
        make: Function that makes the children of candidates, in any order.
        settle: Function that decides which children of all waves are kept, given further failed candidates: row_id,
            reason, detail.

    Returns:
        First, the generation, with at most `wanted` kept rows (the surplus of the last wave is dropped as `over_quota`).
        Second, the decisions that drop the untried candidates (`not_needed`).
    """
    if wanted is None:
        return settle(make(candidates), NO_FAILURES), schema.DECISIONS.to_frame()
    ordered = candidates.with_columns(draw(stage, candidates["row_id"])).sort("draw", "row_id").drop("draw")
    made = [make(ordered.clear())]
    tried = 0
    generation = settle(made[0], NO_FAILURES)
    while (accepted := generation.kept.height) < wanted and tried < ordered.height:
        share = accepted / tried if accepted else FIRST_GUESS / len(made)
        wave = ordered.slice(tried, max(WAVE, math.ceil((wanted - accepted) / share)))
        made.append(make(wave))
        tried += wave.height
        generation = settle(pl.concat(made), NO_FAILURES)
    place = ordered.select(pl.col("row_id").alias("parent"), place=pl.int_range(pl.len()))
    surplus = NO_FAILURES
    while generation.kept.height > wanted:  # repeat: when a surplus row is dropped, a copy of it is kept instead
        kept = generation.kept.select(parent=pl.col("parents").list.first()).join(place, on="parent").sort("place")
        detail = pl.struct(wanted=pl.lit(wanted)).struct.json_encode()
        over = kept.slice(wanted).select(row_id="parent", reason=pl.lit("over_quota"), detail=detail)
        surplus = pl.concat([surplus, over])
        generation = settle(pl.concat(made), surplus)
    detail = pl.struct(wanted=pl.lit(wanted), tried=pl.lit(tried)).struct.json_encode()
    left = ordered.slice(tried).with_columns(verdict=pl.lit("dropped"), reason=pl.lit("not_needed"), detail=detail)
    return generation, left.select(schema.DECISIONS.names()).cast(schema.DECISIONS)
