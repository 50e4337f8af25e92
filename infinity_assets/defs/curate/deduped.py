"""From the pool of all sources to distinct rows.

| asset | grain | key |
|---|---|---|
| duplicates | record that lost to another with the same content | row_id, source, file, position |
| deduped | distinct row | row_id |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup import exact
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.ids import shard_of


@dataset(
    group="curate",
    reads=("fingerprints",),
    settings=lambda s: (s.dedup,),
    columns={"row_id": pl.String, "source": pl.String, "file": pl.String, "position": pl.Int64, "duplicate_of": pl.String},
    meaning={"duplicate_of": "row id of the survivor"},
)
def duplicates(step: Step) -> Outcome:
    """Records whose content another record has already, within and across sources, and which record that is.

    Grain: one losing record. The survivor follows from the source priority in the settings, then source name, file and position.
    """
    losers = exact.find_duplicates(step.read("fingerprints"), step.settings.dedup.source_priority)
    pairs = losers.group_by("source", "survivor_source").len("records").sort(pl.col("records") * -1, "source", "survivor_source")
    return Outcome(losers, charts={"who duplicates whom": charts.table(pairs, rows=20)})


@dataset(group="curate", reads=("duplicates", "raw_pool", "synthesized_from_text"), settings=lambda s: (s.shards,), columns=schema.ROW)
def deduped(step: Step) -> Outcome:
    """The pool, conversations about its texts included, without duplicates, by shard of the row id.

    Grain: one distinct row. Key: row_id. Every record that lost is in `decisions` with the survivor's id; all origins and licences stay in `origins`.
    """
    mine = shard_of(step.settings.shards) == step.partition
    parts = (step.read(asset).filter(mine).select(list(schema.ROW)) for asset in ("raw_pool", "synthesized_from_text"))
    pool = pl.concat(parts).collect()
    losers = step.read("duplicates").filter(mine).collect()
    dropped = losers.with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.lit("exact_duplicate").alias("reason"),
        pl.struct("duplicate_of", "survivor_source", "method", "similarity").struct.json_encode().alias("detail"),
    ).select(list(schema.DECISIONS))
    return Outcome(exact.survivors(pool, losers).sort("row_id"), rows_in=pool.height, decisions=dropped)
