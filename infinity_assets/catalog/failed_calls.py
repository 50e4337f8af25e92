"""Warnings about assets whose model calls failed, or gave less than was asked for, although the run succeeded."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.inference.ledger import WORDS_ONLY


def describe_failed_calls(data: Path, share: float) -> list[str]:
    """Return a sentence per asset whose fraction of failed model calls in the latest materializations exceeds `share`.

    A call failed if it gave no usable answer. A retried call counts once, by its last attempt.
    """
    query = """
        select g.asset, g.partition, g.row_id, g.prompt, g.attempt, g.error
        from generations g join materializations m using (asset, partition, run_id) where m.latest"""
    with connect(data, assets=()) as views:
        calls = views.sql(query).pl().sort("attempt").unique(["asset", "partition", "row_id", "prompt"], keep="last")
    counts = calls.group_by("asset").agg(pl.len().alias("asked"), pl.col("error").count().alias("failed")).sort("asset")
    result = []
    for asset, asked, failed in counts.filter(pl.col("failed") > share * pl.col("asked")).iter_rows():
        classes = calls.filter(pl.col("asset") == asset)["error"].drop_nulls().value_counts(sort=True).rows()
        why = ", ".join(f"{count:,} {error}" for error, count in classes)
        result.append(
            f'{asset}: {failed:,} of {asked:,} model calls gave no usable answer ({why}): `infinity sql "select prompt, '
            f"error, cause, count(*) from generations where asset = '{asset}' and error is not null group by all\"`"
        )
    return result


def describe_words_only(lake: Lake) -> list[str]:
    """Return a sentence per asset whose judge gave no log-probabilities, so that its scores are whole digits."""
    sentences = []
    for asset in sorted(lake.assets()):
        manifests = (lake.manifest(asset, partition) for partition in lake.partitions(asset))
        if count := sum(int(manifest.measures.get(WORDS_ONLY) or 0) for manifest in manifests if manifest):
            sentences.append(
                f"{asset}: the judge gave no log-probabilities for {count:,} answers; what it wrote is the score."
            )
    return sentences
