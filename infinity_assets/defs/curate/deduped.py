"""`deduped`: the distinct rows of the pool, by shard."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup.duplicates import survivors
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.rows import schema
from infinity_assets.rows.ids import shard_of


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
    """The pool, conversations about its texts included, without duplicates, by shard of the row id.

    Grain: one distinct row. Key: row_id. Every record that lost is in `decisions` with the survivor's id; all origins and licences stay in `origins`.
    """
    pool = _spread(step).collect()
    losers = step.read("duplicates").filter(shard_of(step.settings.shards) == step.partition).collect()
    dropped = losers.with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.col("method").replace_strict(_REASONS).alias("reason"),
        pl.struct("duplicate_of", "survivor_source", "method", "similarity", "matched")
        .struct.json_encode()
        .alias("detail"),
    ).select(list(schema.DECISIONS))
    return Outcome(survivors(pool, losers).sort("row_id"), rows_in=pool.height, decisions=dropped)


_REASONS = {
    "exact": "exact_duplicate",
    "instruction": "answer_too_many",
    "near": "near_duplicate",
    "semantic": "semantic_duplicate",
}


def _spread(step: Step) -> pl.LazyFrame:
    """The rows of the pool that fall into the step's shard. The pool is read once for all shards of a run."""
    if not any(step.shared.iterdir()):
        pool = pl.concat(
            [step.read_all(asset).select(list(schema.ROW)) for asset in ("raw_pool", "synthesized_from_text")]
        )
        pool.with_columns(shard_of(step.settings.shards)).sink_parquet(
            pl.PartitionBy(step.shared, key="shard", include_key=False), mkdir=True, compression="lz4"
        )
    mine = sorted((step.shared / f"shard={step.partition}").glob("*.parquet"))
    return pl.scan_parquet(mine, glob=False) if mine else pl.LazyFrame(schema=schema.ROW)
