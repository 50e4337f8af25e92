"""Samples of rows, for model calls that would cost too much for all rows. The draw depends on the row ids alone."""

from typing import Any

import polars as pl

from infinity_assets.rows.ids import draw

NOT_SAMPLED = "not_sampled"
"""Reason for a null score of a row outside the sample."""


def take(rows: pl.DataFrame, max_rows: int, shards: int) -> pl.DataFrame:
    """Return the rows that one shard contributes to a sample of `max_rows` over all shards; 0 means all rows."""
    if not max_rows or rows.height <= max_rows // shards:
        return rows
    drawn = rows.with_columns(draw("sample", rows["row_id"])).sort("draw", "row_id")
    return drawn.head(max_rows // shards).sort("row_id").drop("draw")


_STRATA = ("source", "kind", "language", "operation")


def take_stratified(rows: pl.DataFrame, size: int) -> pl.DataFrame:
    """Return a sample in which sources, kinds, languages and operations have the same shares as in all rows.

    This is systematic sampling: rows are sorted by these columns, shuffled within equal values, and taken at regular
    intervals, so that every row has the same chance. The sample keeps the order of the rows.

    Args:
        rows: Rows with row_id and any of those columns.
        size: Number of rows in the sample. If there are no more rows, all are returned.
    """
    if rows.height <= size:
        return rows
    strata = [name for name in _STRATA if name in rows.columns]
    order = rows.select("row_id", *strata).with_columns(draw("stratified", rows["row_id"])).with_row_index("place")
    order = order.sort(*strata, "draw", "row_id")
    taken = (pl.int_range(size, eager=True) * rows.height + rows.height // 2) // size
    return rows[order["place"].gather(taken).sort()]


def match_stand_ins(rows: pl.DataFrame, sampled: pl.DataFrame) -> pl.Series:
    """Match every row with its stand-in, the most similar row of a sample.

    It is nearest in length among the sampled rows of the same kind and language, or among all if there are none such.

    Args:
        rows: Columns kind, language, length.
        sampled: Columns row_id, kind, language, length; at least one row.

    Returns:
        One row id of `sampled` per row.
    """
    index = pl.DataFrame({"place": range(rows.height)}, schema={"place": pl.UInt32})
    queries = pl.concat([rows.select("kind", "language", "length"), index], how="horizontal").sort("length", "place")
    by_length = sampled.select("kind", "language", "length", found="row_id").sort("length", "found")
    options: dict[str, Any] = {"on": "length", "strategy": "nearest", "check_sortedness": False}
    similar = queries.join_asof(by_length, by=["kind", "language"], **options)
    nearest = queries.join_asof(by_length.select("length", other="found"), **options)
    both = similar.join(nearest.select("place", "other"), on="place", maintain_order="left")
    return both.sort("place").select(pl.coalesce("found", "other")).to_series().alias("row_id")
