"""Verdicts of the datasets on their own answers."""

import polars as pl

from infinity_assets.catalog.lake import Lake


def find_masked_turns(lake: Lake) -> pl.LazyFrame:
    """Return the turns that a record excludes from training: row_id and masked_turns (indexes of messages), one line
    per row with any.
    """
    turns = _notes(lake, "masked_turns").with_columns(masked_turns=pl.col("value").str.json_decode(pl.List(pl.Int64)))
    return turns.group_by("row_id").agg(pl.col("masked_turns").explode().unique().sort())


def find_marked_wrong(lake: Lake) -> pl.Series:
    """Return the ids of the rows of `raw_pool` that a record calls wrong (annotation `verdict`), without duplicates.

    Two sources may have the same row. That one of them calls it wrong is enough.
    """
    wrong = _notes(lake, "verdict").filter(pl.col("value") == '"wrong"').select(pl.col("row_id").unique().sort())
    return wrong.collect(engine="streaming")["row_id"]


def _notes(lake: Lake, name: str) -> pl.LazyFrame:
    """Return the annotations of one name in all sources: row_id and value."""
    tables = [lake.ledger_table("annotations", "raw_pool", partition) for partition in lake.partitions("raw_pool")]
    empty = pl.LazyFrame(schema={"row_id": pl.String, "value": pl.String})
    return pl.concat([empty, *(table.filter(name=name).select("row_id", "value") for table in tables)])
