"""Verdicts of the datasets on their own answers."""

import polars as pl

from infinity_assets.catalog.lake import Lake


def find_marked_wrong(lake: Lake) -> pl.Series:
    """Return the ids of the rows of `raw_pool` that a record calls wrong (annotation `verdict`), without duplicates.

    Two sources may have the same row. That one of them calls it wrong is enough.
    """
    wrong = [
        lake.ledger_table("annotations", "raw_pool", partition)
        .filter(pl.col("name") == "verdict", pl.col("value") == '"wrong"')
        .select("row_id")
        for partition in lake.partitions("raw_pool")
    ]
    empty = pl.LazyFrame(schema={"row_id": pl.String})
    return pl.concat([empty, *wrong]).unique().sort("row_id").collect(engine="streaming")["row_id"]
