"""Assets whose model calls gave too little that could be used: a run that ends well may still have asked in vain."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.views import connect


def sentences(data: Path, share: float) -> list[str]:
    """One sentence per asset of which more than that share of the rows asked about have no usable answer, by the latest materialisations."""
    query = """
        select g.asset, g.partition, g.row_id, g.prompt, g.attempt, g.error
        from generations g join materializations m using (asset, partition, run_id) where m.latest"""
    with connect(data, assets=()) as views:
        calls = views.sql(query).pl().sort("attempt").unique(["asset", "partition", "row_id", "prompt"], keep="last")
    told = calls.group_by("asset").agg(pl.len().alias("asked"), pl.col("error").count().alias("failed")).sort("asset")
    said = []
    for asset, asked, failed in told.filter(pl.col("failed") > share * pl.col("asked")).iter_rows():
        classes = calls.filter(pl.col("asset") == asset)["error"].drop_nulls().value_counts(sort=True).rows()
        why = ", ".join(f"{count:,} {error}" for error, count in classes)
        query = f"select prompt, error, cause, count(*) from generations where asset = '{asset}' and error is not null group by all"
        said.append(
            f'{asset}: {failed:,} of {asked:,} model calls gave nothing that can be used ({why}): `infinity sql "{query}"`'
        )
    return said
