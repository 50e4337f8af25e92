"""The contamination report: the share of each benchmark that each source contains."""

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
"""One line per source and benchmark with a hit. Key: source, benchmark."""


def measure_contamination(
    matches: pl.LazyFrame, copies: pl.LazyFrame, items: pl.LazyFrame, flag_above: float
) -> pl.DataFrame:
    """Count the contaminated rows and items by source and benchmark, the largest share first, as `CONTAMINATION`.

    Args:
        matches: Lines of schema `gate.MATCHES`, with the source of the row.
        copies: Other sources that contain the same row: row_id, source. A row counts for all sources that contain it,
            although de-duplication kept it for only one.
        items: Rows of the asset `benchmarks`.
        flag_above: Share of a benchmark's items above which a source is flagged.
    """
    hits = matches.select("row_id", "source", "benchmark", "item_id", "verdict")
    everywhere = pl.concat([hits, copies.join(hits.drop("source"), on="row_id").select(hits.collect_schema().names())])
    removes = pl.col("verdict") == "removes"
    sizes = items.group_by("benchmark").agg(pl.len().cast(pl.Int64).alias("benchmark_items"))
    row = pl.col("row_id")
    reported, excused = (row.filter(pl.col("verdict") == verdict) for verdict in ("reported", "excused"))
    counts = {
        "rows": row.filter(removes),
        "items": pl.col("item_id").filter(removes),
        "rows_reported": reported.filter(~reported.is_in(row.filter(removes).implode())),
        "rows_excused": excused.filter(~excused.is_in(row.filter(pl.col("verdict") != "excused").implode())),
    }
    counted = everywhere.group_by("source", "benchmark").agg(
        of.n_unique().cast(pl.Int64).alias(name) for name, of in counts.items()
    )
    share = pl.col("items") / pl.col("benchmark_items")
    measured = counted.join(sizes, on="benchmark").with_columns(share=share, flagged=share > flag_above)
    ordered = measured.sort("share", "source", "benchmark", descending=[True, False, False])
    return ordered.select(list(CONTAMINATION)).collect()


def describe_flagged(contamination: pl.DataFrame) -> list[str]:
    """Return one sentence per flagged source: its shares of benchmarks, and a query that shows the matches."""
    shares = (
        contamination.filter("flagged")
        .group_by("source", maintain_order=True)
        .agg(pl.format("{}% of {}", (pl.col("share") * 100).round(1), "benchmark").str.join(", ").alias("holdings"))
    )
    quoted = {source: source.replace("'", "''") for source in shares["source"]}
    return [
        f"{source} holds {holdings}: look at it with `infinity sql "
        f"\"select * from matches where source = '{quoted[source]}'\"`"
        for source, holdings in shares.iter_rows()
    ]
