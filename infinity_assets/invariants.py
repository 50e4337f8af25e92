"""Invariants of the lake: functions that return the violations in an asset. An empty frame: the invariant holds.

They read only stored rows and views, so that the asset checks, the tests and `infinity check` agree.
"""

from collections.abc import Callable

import polars as pl

from infinity_assets.atomic import ROW_GROUP
from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.decontamination.gate import MATCHES, Gate
from infinity_assets.rows.grammar import find_grammar_faults
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.settings import Settings

Invariant = Callable[[Lake, str], pl.DataFrame]


def conservation(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the partitions whose row counts do not add up: rows in plus rows created must equal rows out plus rows
    dropped, and every dropped row must have a decision.
    """
    with connect(lake.data, assets=()) as views:
        return views.sql(
            """
            select m.partition, rows_in, rows_created, rows_out, rows_dropped, coalesce(d.dropped, 0) as decisions
            from materializations m left join (
                select partition, count(*) as dropped from decisions
                where asset = ? and verdict = 'dropped' group by partition
            ) d using (partition)
            where m.asset = ? and m.latest and (
                rows_dropped is null or rows_in + rows_created <> rows_out + rows_dropped
                or rows_dropped <> coalesce(d.dropped, 0))
            """,
            params=[asset, asset],
        ).pl()


def accounted(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the files whose records are not all accounted for: the records of a file must equal its rows plus its
    dropped records, and every dropped or repaired record must have a decision and its bytes in quarantine.
    """
    with connect(lake.data, assets=[asset]) as views:
        # The join compares a hash of source and file, because there may be millions of records.
        return views.sql(
            f"""
            with counted as (
                select source, file, sum(records) as records, sum(rows) as rows, sum(repaired) as repaired,
                       sum(dropped) as dropped
                from files where asset = $asset group by all
            ), pooled as (
                select source, file, count(*) as in_pool from "{asset}" group by all
            ), decided as (
                select source, file, count(*) filter (verdict = 'dropped') as dropped_decisions,
                       count(*) filter (verdict = 'repaired') as repaired_decisions
                from decisions where asset = $asset group by all
            ), bytes_lost as (
                select any_value(source) as source, any_value(file) as file, count(*) as without_bytes from (
                    select source, file, position, hash(source, file) as place from decisions
                    where asset = $asset and verdict in ('dropped', 'repaired')
                ) d anti join (
                    select position, hash(source, file) as place from quarantine where asset = $asset
                ) q on d.place = q.place and d.position = q.position
                group by place
            )
            select source, file, records, rows, in_pool, dropped, dropped_decisions, repaired, repaired_decisions,
                   without_bytes
            from counted full join pooled using (source, file) full join decided using (source, file)
            full join bytes_lost using (source, file)
            where records is null or records <> rows + dropped or rows <> coalesce(in_pool, 0)
               or dropped <> coalesce(dropped_decisions, 0) or repaired <> coalesce(repaired_decisions, 0)
               or without_bytes > 0
            order by source, file
            """,
            params={"asset": asset},
        ).pl()


def grammar(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the rows whose roles do not alternate, or that have an empty turn or marks of a chat template."""
    rows = lake.scan(asset).select("row_id", "messages", "kind")
    batches = rows.collect_batches(chunk_size=ROW_GROUP, maintain_order=False, engine="streaming")
    parts = [find_grammar_faults(rows.clear().collect())]
    parts += (faults for batch in batches if (faults := find_grammar_faults(batch)).height)
    return pl.concat(parts)


def unique(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the row ids that occur more than once, with the number of their occurrences."""
    return lake.scan(asset).group_by("row_id").len("times").filter(pl.col("times") > 1).collect()


def clean(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the rows that contain a benchmark item, by the decontamination gate with the current settings."""
    gate = Gate(lake.scan("benchmarks").collect(), Settings().decontamination, lake.scan("allowed").collect()["text"])
    rows = lake.scan(asset).select("row_id", "messages")
    batches = rows.collect_batches(chunk_size=ROW_GROUP // 2, maintain_order=False, engine="streaming")
    return pl.concat([pl.DataFrame(schema=MATCHES), *map(gate.hits, batches)])


def lineage(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the rows from which no chain of edges leads to a row of `raw_pool`."""
    with connect(lake.data, assets=[asset, "raw_pool"]) as views:
        return views.sql(
            f"""
            with recursive up(row_id, ancestor) as (
                select row_id, row_id from "{asset}"
                union
                select up.row_id, edges.parent_id from up join edges on edges.child_id = up.ancestor
            )
            select row_id from "{asset}" except select row_id from up where ancestor in (select row_id from raw_pool)
            """
        ).pl()


def licence(lake: Lake, asset: str) -> pl.DataFrame:
    """Return the rows without a license, and those whose license is not the most restrictive of their ancestors."""
    rows = lake.scan(asset)
    missing = (
        rows.filter(pl.col("licence").fill_null("") == "")
        .select("row_id", pl.lit("no licence").alias("fault"))
        .collect(engine="streaming")
    )
    if "parents" not in rows.collect_schema().names():
        return missing
    # A synthesized row inherits the licenses of its ancestors in `deduped`. A conversation about a text belongs to the
    # pool itself, so its ancestor is the text in `raw_pool`, in the same source.
    about_texts = asset == "synthesized_from_text"
    pool, condition = ("raw_pool", "and d.source = up.source") if about_texts else ("deduped", "")
    with connect(lake.data, assets=[asset, pool]) as views:
        views.register("descent", _descent(lake, about_texts).to_arrow())
        ancestors = views.sql(
            f"""
            with recursive up(row_id, source, ancestor) as (
                select row_id, source, row_id from "{asset}"
                union
                select up.row_id, up.source, descent.parent from up join descent on descent.child = up.ancestor
            )
            select up.row_id, up.source, d.licence from up join {pool} d on d.row_id = up.ancestor {condition}
            """
        ).pl()
    expected = ancestors.group_by("row_id", "source").agg(most_restrictive(pl.col("licence")).alias("expected"))
    own = rows.select("row_id", "source", "licence").collect()
    wrong = own.join(expected, on=["row_id", "source"]).filter(pl.col("licence") != pl.col("expected"))
    return pl.concat(
        [missing, wrong.select("row_id", pl.format("{} instead of {}", "licence", "expected").alias("fault"))]
    )


def _descent(lake: Lake, about_texts: bool) -> pl.DataFrame:
    """Return the ids of children and parents, from the rows of `synthesized_from_text` or else of all other assets.

    The ledger table `edges` also has the parents of rejected children, so it cannot be used here.
    """
    frames = [pl.LazyFrame(schema={"child": pl.String, "parent": pl.String})]
    for name in sorted(lake.assets()):
        if lake.partitions(name) and (name == "synthesized_from_text") == about_texts:
            rows = lake.scan(name)
            if "parents" in rows.collect_schema().names():
                frames.append(rows.select(child="row_id", parent="parents").explode("parent"))
    return pl.concat(frames).unique().collect()


INVARIANTS: dict[str, Invariant] = {
    function.__name__: function for function in (conservation, accounted, grammar, unique, clean, lineage, licence)
}
"""Invariants by name."""
