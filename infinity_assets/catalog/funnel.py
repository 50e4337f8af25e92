"""The funnel: numbers of rows in, created, out and dropped, per asset."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect


def funnel(data: Path) -> pl.DataFrame:
    """Return one line per materialized asset, in the order of the graph. Only `calls` includes past materializations.

    Columns: asset, partitions, rows_in, rows_created, rows_out, rows_dropped, reasons (a text with the number of
    dropped rows per reason, the most frequent first), calls (model calls that were made), seconds.
    """
    with connect(data, assets=()) as views:
        totals = views.sql(
            """
            with reasons as (
                select asset, string_agg(reason || ' ' || n, ', ' order by n desc, reason) as reasons from (
                    select asset, reason, count(*) as n from decisions where verdict = 'dropped' group by all
                ) group by asset),
            calls as (select asset, count(*) filter (not cached) as calls from generations group by asset)
            select asset, count(*) as partitions, sum(rows_in)::bigint as rows_in,
                   sum(rows_created)::bigint as rows_created, sum(rows_out)::bigint as rows_out,
                   sum(rows_dropped)::bigint as rows_dropped, any_value(reasons) as reasons,
                   any_value(calls) as calls, sum(seconds) as seconds
            from materializations left join reasons using (asset) left join calls using (asset)
            where latest group by asset
            """
        ).pl()
    places = {asset: place for place, asset in enumerate(Lake(data).order())}
    return totals.sort(pl.col("asset").replace_strict(places, return_dtype=pl.Int64))
