"""Sentences about the reading of the sources, for the end of a run: unread text, missing answers, repeated columns."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.reading.containers.columns import DUPLICATE_COLUMNS
from infinity_assets.reading.unread import find_unread

_NAMED = 8
"""Maximum number of keys to name."""

_EXAMPLE_CHARS = 60


def describe_reading(data: Path, sources: Iterable[str]) -> Iterator[str]:
    """Yield sentences about sources without records, about rows without an answer, and about text in no row.

    Sources that have not been read are left out.
    """
    lake = Lake(data)
    manifests = [(name, lake.manifest("raw_pool", name)) for name in sources]
    if empty := [name for name, manifest in manifests if manifest and manifest.rows_created == 0]:
        yield f"No record was found in {', '.join(empty)}: `infinity sources preview NAME` shows the files."
    with connect(data, assets=("raw_pool",)) as views:
        if any(manifest for _, manifest in manifests):
            counts = views.sql(
                "select source, count(*) filter (kind <> 'conversation') as unanswered, count(*) as rows, "
                "count(*) filter (kind = 'text') as texts from raw_pool group by source having unanswered > 0 "
                "order by unanswered desc, source"
            ).fetchall()
            shares = [
                f"{source} {unanswered:,} of {rows:,}" + (f" ({texts:,} are texts)" if texts else "")
                for source, unanswered, rows, texts in counts
            ]
            if shares:
                yield f"Rows without an answer, which are only raw material for synthesis: {'; '.join(shares)}"
        repeated = views.sql(
            "select source, count(*) as records from decisions where asset = 'raw_pool' and verdict = 'repaired' "
            "and list_contains(string_split(reason, '+'), ?) group by source order by records desc, source",
            params=[DUPLICATE_COLUMNS],
        ).fetchall()
        if repeated:
            named = "; ".join(f"{source} in {records:,} records" for source, records in repeated)
            yield (
                f"Columns of one name differ, and the first that is not empty was read under it: {named}. "
                "Give each column a name of its own, or map `NAME_2` in source.yaml"
            )
        keys = views.sql("select * exclude (asset, partition) from keys").pl()
    yield from _describe_unread(keys)


def _describe_unread(keys: pl.DataFrame) -> Iterator[str]:
    """Yield a sentence about each key with running text that reached no row, the most characters first."""
    of_source = dict(keys.group_by("source").agg(pl.col("chars").sum()).iter_rows())
    unread = find_unread(keys.lazy().filter("running_text")).collect()
    for line in unread.head(_NAMED).iter_rows(named=True):
        about = "about " if line["estimated"] else ""
        example = " ".join((line["example"] or "").split())[:_EXAMPLE_CHARS]
        yield (
            f"{line['source']}: `{line['path']}` is read in {line['read']:,} of {line['records']:,} records "
            f"({line['layout']}): {about}{line['chars_unread']:,} characters, "
            f"{line['chars_unread'] / of_source[line['source']]:.0%} of the source's text, reached no row: {example!r}"
        )
    if unread.height > _NAMED:
        yield f"{unread.height - _NAMED:,} more keys with running text reached no row: the pages of raw_pool list them."
