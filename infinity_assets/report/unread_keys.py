"""Keys of a source that reached no row, for the page of `raw_pool`."""

import polars as pl

from infinity_assets.reading.unread import find_unread
from infinity_assets.report.charts import table

_SHOWN = 20
"""Maximum number of keys to show."""


def describe_unread_keys(keys: pl.LazyFrame) -> str:
    """Return a markdown table of the unread keys of a source; an empty string if there are none.

    Args:
        keys: A table of schema `schema.KEYS`.
    """
    unread = find_unread(keys).select(
        "layout", key="path", text=pl.when("running_text").then(pl.lit("running")), records="records", read="read",
        characters="chars", unread=pl.format("{} %", (100 * pl.col("share")).round().cast(pl.Int64)), example="example",
    )  # fmt: skip
    lines = unread.collect()
    return table(lines, rows=_SHOWN) if lines.height else ""
