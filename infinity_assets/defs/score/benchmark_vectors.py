"""`benchmark_vectors`: the vector and the topic of each benchmark item. Grain: an item. Key: item_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows.frames import conform
from infinity_assets.selection import topics

_COLUMNS = pl.Schema(
    {
        "item_id": pl.String,
        "benchmark": pl.String,
        "domain": pl.String,
        "topic": pl.String,
        "vector": pl.Array(pl.Float16, 1),
    }
)


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
    with step.inference().embedder(step.settings.scoring.embedder) as embedder:
        texts = items["prompt"].to_list()
        known = pl.Series(
            [unknown <= step.settings.scoring.max_unknown for unknown in embedder.read(texts).unknown], dtype=pl.Boolean
        )
        encoded = (
            pl.Series("vector", embedder.encode(texts), dtype=pl.Array(pl.Float16, embedder.width)) if texts else None
        )
    if encoded is None:
        return Outcome(conform(items, _COLUMNS, fill=True))
    table = topics.label_items(
        items.with_columns(pl.when(known).then(encoded).alias("vector")), step.settings.foundation.items_per_topic
    )
    return Outcome(
        table.select(list(_COLUMNS)),
        measures={
            "topics": table["topic"].drop_nulls().n_unique(),
            "items without a vector": table["vector"].null_count(),
        },
        charts={
            "topics per domain": charts.table(
                table.drop_nulls("topic")
                .group_by("domain")
                .agg(pl.col("topic").n_unique(), items=pl.len())
                .sort("domain")
            )
        },
    )
