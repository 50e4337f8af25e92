"""Quotas: how many rows each domain may bring to InfInstruct-F (its selection is in `composition`)."""

import polars as pl

from infinity_assets.settings import Foundation


def budget(available: pl.DataFrame, settings: Foundation) -> pl.DataFrame:
    """How many rows each domain may bring.

    Args:
        available: Columns domain and rows: conversations of the pool after decontamination.
        settings: The recipe.

    Returns:
        One line per domain: domain, available, keep_share, quota, reason.
    """
    share = pl.col("domain").replace_strict(dict(settings.keep_share), default=0.0, return_dtype=pl.Float64)
    wanted = available.with_columns(share.alias("keep_share")).with_columns((pl.col("rows") * share).ceil().cast(pl.Int64).alias("wanted"))
    shrink = min(1.0, settings.max_rows / max(int(wanted["wanted"].sum()), 1))
    quota = (pl.col("wanted") * shrink).floor().cast(pl.Int64)
    reason = (
        pl.lit("share of the domain")
        if shrink == 1.0
        else pl.lit(f"share of the domain, times {shrink:.3f} for at most {settings.max_rows} rows")
    )
    return wanted.select(
        "domain", pl.col("rows").cast(pl.Int64).alias("available"), "keep_share", quota.alias("quota"), reason.alias("reason")
    ).sort("domain")
