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
    return rows.with_columns(draw("sample", rows["row_id"])).sort("draw", "row_id").head(max_rows // shards).sort("row_id").drop("draw")
