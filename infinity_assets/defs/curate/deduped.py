"""`deduped`: the distinct rows of the pool. Grain: a distinct row. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.duplicates import drop_losers
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.rows import schema
from infinity_assets.rows.frames import decide, json_detail
from infinity_assets.rows.ids import shard_of

_REASONS = {
    "exact": "exact_duplicate",
    "instruction": "answer_too_many",
    "near": "near_duplicate",
    "semantic": "semantic_duplicate",
}


@dataset(
    group="curate",
    partitions="shard",
    invariants=("conservation", "grammar", "unique", "licence"),
    reads=("duplicates",),
    reads_all=("raw_pool", "synthesized_from_text"),
    settings=lambda s: (s.shards,),
    columns=schema.ROW,
    version="2",
)
def deduped(step: Step) -> Outcome:
    """The distinct rows of the pool, including the conversations synthesized from its texts.

    Grain: one distinct row. Key: row_id. `decisions` has every dropped record with the row id of its survivor. The
    ledger table `origins` keeps the origins and licences of dropped records, too.
    """
    pool = _pool_shard(step).collect()
    losers = step.read("duplicates").filter(shard_of(step.settings.shards) == step.partition).collect()
    evidence = json_detail("duplicate_of", "survivor_source", "method", "similarity", "matched")
    dropped = decide(losers, reason=pl.col("method").replace_strict(_REASONS), detail=evidence)
    return Outcome(drop_losers(pool, losers).sort("row_id"), rows_in=pool.height, decisions=dropped)


def _pool_shard(step: Step) -> pl.LazyFrame:
    """Return the pool's rows in the step's shard. The pool is read and split into shards once per run."""
    if not any(step.shared.iterdir()):
        pool = pl.concat([step.read(asset).select(list(schema.ROW)) for asset in ("raw_pool", "synthesized_from_text")])
        pool.with_columns(shard_of(step.settings.shards)).sink_parquet(
            pl.PartitionBy(step.shared, key="shard", include_key=False), mkdir=True, compression="lz4"
        )
    files = sorted((step.shared / f"shard={step.partition}").glob("*.parquet"))
    return pl.scan_parquet(files, glob=False) if files else pl.LazyFrame(schema=schema.ROW)
