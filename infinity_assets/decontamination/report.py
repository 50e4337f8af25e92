"""Which source hits which benchmark, and how much of it."""

import polars as pl

CONTAMINATION = pl.Schema(
    {
        "source": pl.String,
        "benchmark": pl.String,
        "rows": pl.Int64,
        "items": pl.Int64,
        "benchmark_items": pl.Int64,
        "share": pl.Float64,
        "flagged": pl.Boolean,
        "rows_reported": pl.Int64,
        "rows_excused": pl.Int64,
    }
)
"""A source and a benchmark that share something. Key: source, benchmark."""

MEANING: dict[str, str] = {
    "benchmark": "name of the benchmark's folder",
    "rows": "rows of the source that are removed for it",
    "items": "items of the benchmark that those rows hold",
    "benchmark_items": "items that it has",
    "share": "items / benchmark_items",
    "flagged": "whether the share is above the setting `decontamination.flag_above`",
    "rows_reported": "rows with a hit that removes nothing, and none that removes",
    "rows_excused": "rows whose hits all lie inside allowed texts",
}
"""The columns of `CONTAMINATION`, for pages."""


def by_source(matches: pl.LazyFrame, copies: pl.LazyFrame, items: pl.LazyFrame, flag_above: float) -> pl.DataFrame:
    """The hits of every source, the largest share first.

    Args:
        matches: Lines as `gate.MATCHES`, with the source of the row.
        copies: Other sources that hold the content of a row: row_id, source. What one source lost as a duplicate is in it all the same.
        items: Lines of `benchmarks`.
        flag_above: Share of a benchmark's items above which a source is flagged.

    Returns:
        Lines as `CONTAMINATION`.
    """
    hits = matches.select("row_id", "source", "benchmark", "item_id", "verdict")
    everywhere = pl.concat([hits, copies.join(hits.drop("source"), on="row_id").select(hits.collect_schema().names())])
    removes = pl.col("verdict") == "removes"
    sizes = items.group_by("benchmark").agg(pl.len().cast(pl.Int64).alias("benchmark_items"))
    row = pl.col("row_id")
    reported, excused = (row.filter(pl.col("verdict") == verdict) for verdict in ("reported", "excused"))
    counted = everywhere.group_by("source", "benchmark").agg(
        row.filter(removes).n_unique().cast(pl.Int64).alias("rows"),
        pl.col("item_id").filter(removes).n_unique().cast(pl.Int64).alias("items"),
        reported.filter(~reported.is_in(row.filter(removes).implode()))
        .n_unique()
        .cast(pl.Int64)
        .alias("rows_reported"),
        excused.filter(~excused.is_in(row.filter(pl.col("verdict") != "excused").implode()))
        .n_unique()
        .cast(pl.Int64)
        .alias("rows_excused"),
    )
    share = pl.col("items") / pl.col("benchmark_items")
    told = counted.join(sizes, on="benchmark").with_columns(share.alias("share"), (share > flag_above).alias("flagged"))
    return (
        told.select(list(CONTAMINATION)).sort("share", "source", "benchmark", descending=[True, False, False]).collect()
    )


def flagged(contamination: pl.DataFrame) -> list[str]:
    """What is to be said of each source that is flagged, in one sentence."""
    of = (
        contamination.filter("flagged")
        .group_by("source", maintain_order=True)
        .agg(pl.format("{}% of {}", (pl.col("share") * 100).round(1), "benchmark").str.join(", ").alias("what"))
    )
    quoted = {source: source.replace("'", "''") for source in of["source"]}
    return [
        f"{source} holds {what}: look at it with `infinity sql \"select * from matches where source = '{quoted[source]}'\"`"
        for source, what in of.iter_rows()
    ]
