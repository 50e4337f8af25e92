"""The invariants of the lake, each as a function that returns what breaks it: an empty frame means that it holds.

They read rows and views only, so that the asset checks, the tests and `infinity check` say the same.
"""

from collections.abc import Callable

import polars as pl

from infinity_assets.atomic import ROW_GROUP
from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.views import connect
from infinity_assets.decontamination.gate import MATCHES, Gate
from infinity_assets.rows.grammar import grammar_faults
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.settings import Settings

Invariant = Callable[[Lake, str], pl.DataFrame]


def conservation(lake: Lake, asset: str) -> pl.DataFrame:
    """Rows in plus rows created equal rows out plus rows dropped, and every drop has its decision."""
    with connect(lake.data, assets=()) as views:
        return views.sql(
            """
            select m.partition, rows_in, rows_created, rows_out, rows_dropped, coalesce(d.dropped, 0) as decisions
            from materializations m left join (
                select partition, count(*) as dropped from decisions where asset = ? and verdict = 'dropped' group by partition
            ) d using (partition)
            where m.asset = ? and m.latest and (
                rows_dropped is null or rows_in + rows_created <> rows_out + rows_dropped or rows_dropped <> coalesce(d.dropped, 0))
            """,
            params=[asset, asset],
        ).pl()


def accounted(lake: Lake, asset: str) -> pl.DataFrame:
    """Of every file, records = rows + dropped, as rows and decisions count them; each dropped or repaired record has its bytes in quarantine."""
    with connect(lake.data, assets=[asset]) as views:
        # A hash of the path stands for it in the join: it may be of millions of records.
        return views.sql(
            f"""
            with said as (
                select source, file, sum(records) as records, sum(rows) as rows, sum(repaired) as repaired, sum(dropped) as dropped
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
            select source, file, records, rows, in_pool, dropped, dropped_decisions, repaired, repaired_decisions, without_bytes
            from said full join pooled using (source, file) full join decided using (source, file) full join bytes_lost using (source, file)
            where records is null or records <> rows + dropped or rows <> coalesce(in_pool, 0)
               or dropped <> coalesce(dropped_decisions, 0) or repaired <> coalesce(repaired_decisions, 0) or without_bytes > 0
            order by source, file
            """,
            params={"asset": asset},
        ).pl()


def grammar(lake: Lake, asset: str) -> pl.DataFrame:
    """Roles alternate, no turn is empty, no template debris."""
    rows = lake.scan(asset).select("row_id", "messages", "kind")
    batches = rows.collect_batches(chunk_size=ROW_GROUP, maintain_order=False, engine="streaming")
    found = [grammar_faults(rows.clear().collect())]
    found += (faults for batch in batches if (faults := grammar_faults(batch)).height)
    return pl.concat(found)


def unique(lake: Lake, asset: str) -> pl.DataFrame:
    """No row id twice."""
    return lake.scan(asset).group_by("row_id").len("times").filter(pl.col("times") > 1).collect()


def clean(lake: Lake, asset: str) -> pl.DataFrame:
    """No row matches a benchmark item under the gate in force."""
    gate = Gate(lake.scan("benchmarks").collect(), Settings().decontamination, lake.scan("allowed").collect()["text"])
    rows = lake.scan(asset).select("row_id", "messages")
    batches = rows.collect_batches(chunk_size=ROW_GROUP // 2, maintain_order=False, engine="streaming")
    return pl.concat([pl.DataFrame(schema=MATCHES), *map(gate.hits, batches)])


def lineage(lake: Lake, asset: str) -> pl.DataFrame:
    """Every row reaches a row of the raw pool through the edges."""
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
    """Every row has a licence; a synthesised one has the most restrictive of its parents'."""
    rows = lake.scan(asset)
    missing = (
        rows.filter(pl.col("licence").fill_null("") == "")
        .select("row_id", pl.lit("no licence").alias("fault"))
        .collect(engine="streaming")
    )
    if "parents" not in rows.collect_schema().names():
        return missing
    # The licences that a row descends from are those of the rows of the pool at the top of its line. A conversation about a text is such a row
    # itself; above it stands the text, as its own source has it.
    about_texts = asset == "synthesized_from_text"
    pool, of = ("raw_pool", "and d.source = up.source") if about_texts else ("deduped", "")
    with connect(lake.data, assets=[asset, pool]) as views:
        views.register("descent", _descent(lake, about_texts).to_arrow())
        ancestors = views.sql(
            f"""
            with recursive up(row_id, source, ancestor) as (
                select row_id, source, row_id from "{asset}"
                union
                select up.row_id, up.source, descent.parent from up join descent on descent.child = up.ancestor
            )
            select up.row_id, up.source, d.licence from up join {pool} d on d.row_id = up.ancestor {of}
            """
        ).pl()
    expected = ancestors.group_by("row_id", "source").agg(most_restrictive(pl.col("licence")).alias("expected"))
    own = rows.select("row_id", "source", "licence").collect()
    wrong = own.join(expected, on=["row_id", "source"]).filter(pl.col("licence") != pl.col("expected"))
    return pl.concat(
        [missing, wrong.select("row_id", pl.format("{} instead of {}", "licence", "expected").alias("fault"))]
    )


def _descent(lake: Lake, about_texts: bool) -> pl.DataFrame:
    """Child and parent, as the rows themselves say it: the edges also tell of children that were thrown away, and the same text may have been thrown
    away elsewhere.
    """
    found = [pl.LazyFrame(schema={"child": pl.String, "parent": pl.String})]
    for name in sorted(lake.assets()):
        if lake.partitions(name) and (name == "synthesized_from_text") == about_texts:
            rows = lake.scan(name)
            if "parents" in rows.collect_schema().names():
                found.append(rows.select(child="row_id", parent="parents").explode("parent"))
    return pl.concat(found).unique().collect()


INVARIANTS: dict[str, Invariant] = {
    function.__name__: function for function in (conservation, accounted, grammar, unique, clean, lineage, licence)
}
"""By name, in the order of design."""
