"""Keys of a source that reached no row, for the page of `raw_pool`."""

import polars as pl

from infinity_assets.reading.unread import find_unread
from infinity_assets.report.charts import table_if_any

_SHOWN = 20
"""Maximum number of keys to show."""


def describe_unread_keys(keys: pl.LazyFrame) -> str:
    """Return a markdown table of the unread keys of a source (`schema.KEYS`); an empty string if there are none."""
    unread = find_unread(keys).select(
        "layout", key="path", text=pl.when("running_text").then(pl.lit("running")), records="records", read="read",
        characters="chars", unread=pl.format("{} %", (100 * pl.col("share")).round().cast(pl.Int64)), example="example",
    )  # fmt: skip
    return table_if_any(unread.collect(), rows=_SHOWN)
