"""Which rows the models look at, where not all can be afforded: a sample by row id, the same share of each shard."""

import polars as pl

from infinity_assets.rows.ids import draw

NOT_SAMPLED = "not_sampled"
"""The reason given where a score is null because its row was not in the sample."""


def take(rows: pl.DataFrame, max_rows: int, shards: int) -> pl.DataFrame:
    """The rows of one shard that are in the sample.

    Args:
        rows: The rows of a shard, with row_id.
        max_rows: Size of the sample over all shards; 0 for all rows.
        shards: Number of shards.
    """
    if not max_rows or rows.height <= max_rows // shards:
        return rows
    return (
        rows.with_columns(draw("sample", rows["row_id"]))
        .sort("draw", "row_id")
        .head(max_rows // shards)
        .sort("row_id")
        .drop("draw")
    )


_STRATA = ("source", "kind", "language", "operation")


def stratified(rows: pl.DataFrame, size: int) -> pl.DataFrame:
    """A sample in which every source, kind, language and operation has its share: in the order of these, and by lot within them, every so many
    rows one is taken (systematic sampling), so that each row is as likely to be taken as any other.

    Args:
        rows: Rows with row_id and as many of those columns as there are.
        size: How many are taken; all, if there are no more.

    Returns:
        Some of the rows, in the order in which they came.
    """
    if rows.height <= size:
        return rows
    strata = [name for name in _STRATA if name in rows.columns]
    order = rows.select("row_id", *strata).with_columns(draw("stratified", rows["row_id"])).with_row_index("place")
    order = order.sort(*strata, "draw", "row_id")
    taken = (pl.int_range(size, eager=True) * rows.height + rows.height // 2) // size
    return rows[order["place"].gather(taken).sort()]


def stand_ins(rows: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """For every row, the row of the sample that is most like it: of the same kind and language, and nearest in length; else nearest in length.

    Args:
        rows: kind, language, length.
        known: The same, and row_id: at least one row.

    Returns:
        The row ids of `known`, one per row.
    """
    place = pl.DataFrame({"place": range(rows.height)}, schema={"place": pl.UInt32})
    asked = pl.concat([rows.select("kind", "language", "length"), place], how="horizontal").sort("length", "place")
    given = known.select("kind", "language", "length", found="row_id").sort("length", "found")
    alike = asked.join_asof(given, on="length", by=["kind", "language"], strategy="nearest", check_sortedness=False)
    anyone = asked.join_asof(
        given.select("length", other="found"), on="length", strategy="nearest", check_sortedness=False
    )
    both = alike.join(anyone.select("place", "other"), on="place", maintain_order="left")
    return both.sort("place").select(pl.coalesce("found", "other")).to_series().alias("row_id")
