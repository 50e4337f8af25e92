"""`benchmark_vectors`: the vector and the topic of each benchmark item. Grain: an item. Key: item_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform
from infinity_assets.rows.schema import texts
from infinity_assets.selection import topics

_COLUMNS = pl.Schema({**texts("item_id", "benchmark", "domain", "topic"), "vector": pl.Array(pl.Float16, 1)})


@dataset(
    group="score",
    reads=("benchmarks",),
    settings=lambda s: (s.scoring.embedder.weights_id, s.scoring.max_unknown, s.foundation.items_per_topic),
    columns=_COLUMNS,
    kinds=("polars", "parquet", "sentencetransformers"),
)
def benchmark_vectors(step: Step) -> Outcome:
    """The vector and the topic of every benchmark item.

    Grain: one benchmark item. Key: item_id. A topic is a cluster of vectors in a domain; topics are numbered by size.
    """
    items = step.read("benchmarks").select("item_id", "benchmark", "domain", "prompt").collect().sort("item_id")
    if items.is_empty():
        return Outcome(conform(items, _COLUMNS, fill=True))
    with step.inference().embedder(step.settings.scoring.embedder) as embedder:
        prompts = items["prompt"].to_list()
        known = pl.Series(embedder.read(prompts).unknown <= step.settings.scoring.max_unknown)
        encoded = pl.Series(embedder.encode(prompts), dtype=pl.Array(pl.Float16, embedder.width))
    items = items.with_columns(vector=pl.when(known).then(encoded))
    table = topics.label_items(items, step.settings.foundation.items_per_topic)
    per_domain = table.drop_nulls("topic").group_by("domain").agg(pl.col("topic").n_unique(), items=pl.len())
    return Outcome(
        table.select(list(_COLUMNS)),
        measures={
            "topics": table["topic"].drop_nulls().n_unique(),
            "items without a vector": table["vector"].null_count(),
        },
        charts={"topics per domain": charts.table(per_domain.sort("domain"))},
    )
