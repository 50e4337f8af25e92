"""Warnings about sources that lost a large fraction of their records when they were read."""

import shlex
from collections.abc import Callable
from pathlib import Path

import polars as pl

from infinity_assets.catalog.views import connect


def misread_sources(data: Path, share: float) -> pl.DataFrame:
    """Return the sources with more than the fraction `share` of their records dropped, the worst first.

    Columns: source, records, dropped (both are numbers of records), reason (the most frequent).
    """
    with connect(data, assets=()) as views:
        return views.sql(
            """
            with counted as (
                select source, sum(records)::bigint as records, sum(dropped)::bigint as dropped
                from files where asset = 'raw_pool' group by source
            ), reasons as (
                select source, reason, count(*) as n
                from decisions where asset = 'raw_pool' and verdict = 'dropped' group by all
            )
            select source, any_value(records) as records, any_value(dropped) as dropped,
                   arg_max(reason, (n, reason)) as reason
            from counted left join reasons using (source)
            where dropped > records * ?
            group by source order by any_value(dropped / records) desc, source
            """,
            params=[share],
        ).pl()


def describe_misread(sources: pl.DataFrame, advise: Callable[[str], str] = lambda source: "") -> list[str]:
    """Return a sentence per line of the result of `misread_sources`, after one about all of them if there are several.

    `advise` returns lines of advice on a source, which follow the sentence about it, or an empty text.
    """
    total = []
    if sources.height > 1:
        dropped, records = sources.select(pl.sum("dropped", "records")).row(0)
        share = dropped / records
        total = [f"{dropped:,} of {records:,} records of {sources.height} sources were dropped ({share:.0%}):"]
    return total + [
        f"{source}: {dropped:,} of {records:,} records dropped ({dropped / records:.0%}, {reason}); "
        f"look at it with `infinity sources preview {shlex.quote(source)}`"
        + "".join(f"\n    {text}" for text in advise(source).splitlines())
        for source, records, dropped, reason in sources.iter_rows()
    ]
