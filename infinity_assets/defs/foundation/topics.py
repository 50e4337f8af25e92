"""`topics`: the topics of the benchmarks and their coverage by the pool. Grain: a topic. Key: topic."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.schema import texts
from infinity_assets.selection import topics as topic_models


@dataset(
    group="foundation",
    reads=("benchmarks", "benchmark_vectors", "proximity"),
    settings=lambda s: (s.foundation.selectors.retrieval_floor,),
    columns={
        **texts("topic", "words", "domain"),
        "items": pl.Int64,
        "share": pl.Float64,
        "benchmarks": pl.List(pl.Struct({"benchmark": pl.String, "items": pl.Int64})),
        "rows": pl.Int64,
        "near": pl.Int64,
    },
)
def topics(step: Step) -> Outcome:
    """The topics of the benchmarks: each topic's share of all items, and its number of rows in the pool.

    Grain: one topic. Key: topic. The selector `retrieval` takes rows of every topic in proportion to its share.
    """
    items = step.read("benchmarks").select("item_id", "benchmark", "domain", "prompt").collect()
    items = items.join(step.read("benchmark_vectors").select("item_id", "topic").collect(), on="item_id", how="left")
    is_near = pl.col("proximity") >= step.settings.foundation.selectors.retrieval_floor
    near = step.read("proximity").group_by("topic").agg(rows=pl.len(), near=is_near.sum()).collect()
    table = topic_models.describe(items, near)
    shown = table.select("topic", "words", "items", pl.col("share").round(4), "rows", "near")
    return Outcome(
        table,
        measures={"topics": table.height, "topics without a row in the pool": int((table["near"] == 0).sum())},
        charts={
            "largest": charts.table(shown.sort(pl.col("items") * -1, "topic"), rows=30),
            "fewest rows per item": charts.table(shown.sort(pl.col("near") / pl.col("items"), "topic"), rows=15),
        },
    )
