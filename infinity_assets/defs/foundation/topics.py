"""What the benchmarks are about, and how near the pool is to them.

| asset | grain | key |
|---|---|---|
| benchmark_vectors | benchmark item | item_id |
| proximity | row of `decontaminated` | row_id |
| topics | topic of the benchmarks | topic |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.selection import topics as of


@dataset(
    group="score",
    reads=("benchmarks",),
    settings=lambda s: (s.scoring.embedder.identity, s.scoring.max_unknown, s.foundation.items_per_topic),
    columns={"item_id": pl.String, "benchmark": pl.String, "domain": pl.String, "topic": pl.String, "vector": pl.Array(pl.Float16, 1)},
    meaning={
        "item_id": "benchmark, file where there are several, and position",
        "benchmark": "name of the benchmark's folder",
        "topic": "cluster of items of the domain that are about the same; null without a vector",
        "vector": "of unit length, of the prompt; null where the embedder knows too few of the words",
    },
    kinds=("polars", "parquet", "sentencetransformers"),
)
def benchmark_vectors(step: Step) -> Outcome:
    """What every item of the benchmarks is about, as a vector and a topic.

    Grain: one benchmark item. Key: item_id. Topics are clusters within a domain, numbered by size.
    """
    items = step.read("benchmarks").select("item_id", "benchmark", "domain", "prompt").collect().sort("item_id")
    with step.inference().embedder(step.settings.scoring.embedder) as embedder:
        texts = items["prompt"].to_list()
        known = pl.Series([unknown <= step.settings.scoring.max_unknown for unknown in embedder.read(texts).unknown], dtype=pl.Boolean)
        made = pl.Series("vector", embedder.encode(texts), dtype=pl.Array(pl.Float16, embedder.width)) if texts else None
    if made is None:
        return Outcome(
            items.select("item_id", "benchmark", "domain", topic=pl.lit(None, pl.String), vector=pl.lit(None, pl.Array(pl.Float16, 1)))
        )
    table = of.label_items(items.with_columns(pl.when(known).then(made).alias("vector")), step.settings.foundation.items_per_topic)
    return Outcome(
        table.select("item_id", "benchmark", "domain", "topic", "vector"),
        measures={"topics": table["topic"].drop_nulls().n_unique(), "items without a vector": table["vector"].null_count()},
        charts={
            "topics per domain": charts.table(
                table.drop_nulls("topic").group_by("domain").agg(pl.col("topic").n_unique(), items=pl.len()).sort("domain")
            )
        },
    )


@dataset(
    group="score",
    reads=("decontaminated", "vectors", "benchmark_vectors"),
    settings=lambda s: (s.foundation.retrieval_exact_up_to,),
    columns=of.PROXIMITY,
    meaning={
        "item_id": "the benchmark item of the row's domain that the prompt is nearest to",
        "topic": "the topic of that item",
        "proximity": "cosine of the two; null where the prompt has no vector, or the domain no benchmark",
    },
    kinds=("polars", "parquet", "hnswlib"),
)
def proximity(step: Step) -> Outcome:
    """How near every prompt is to the benchmarks of its domain, and to which topic of them.

    Grain: one row of `decontaminated`. Key: row_id. Every prompt is compared with every item up to `foundation.retrieval_exact_up_to` items.
    """
    domains = step.read("decontaminated").select("row_id", "domain")
    rows = step.read("vectors").join(domains, on="row_id", how="left", maintain_order="left").collect()
    items = step.read("benchmark_vectors").collect()
    exact_up_to = step.settings.foundation.retrieval_exact_up_to
    found = of.nearest_items(rows, items, exact_up_to, advance=lambda done, total: step.advance(done, total))
    return Outcome(
        found,
        measures={"rows compared": int(found["proximity"].count()), "items": items.height},
        charts={"proximity": charts.histogram(found["proximity"], "cosine to the nearest item", bins=20, low=0, high=1)},
    )


@dataset(
    group="foundation",
    reads=("benchmarks", "benchmark_vectors", "proximity"),
    settings=lambda s: (s.foundation.selectors.retrieval_floor,),
    columns={
        "topic": pl.String,
        "words": pl.String,
        "domain": pl.String,
        "items": pl.Int64,
        "share": pl.Float64,
        "benchmarks": pl.List(pl.Struct({"benchmark": pl.String, "items": pl.Int64})),
        "rows": pl.Int64,
        "near": pl.Int64,
    },
    meaning={
        "topic": "domain and number",
        "words": "words that its items have more often than others of the domain",
        "items": "benchmark items",
        "share": "of all items that have a topic",
        "benchmarks": "whose items they are",
        "rows": "rows of the pool whose nearest item is of the topic",
        "near": "those of them that retrieval may take: at or above `foundation.selectors.retrieval_floor`",
    },
)
def topics(step: Step) -> Outcome:
    """The topic distribution of the evaluation sets, and what the pool has of each topic.

    Grain: one topic. Key: topic. The selector `retrieval` gives every topic its share of a domain's rows.
    """
    items = step.read("benchmarks").select("item_id", "benchmark", "domain", "prompt").collect()
    items = items.join(step.read("benchmark_vectors").select("item_id", "topic").collect(), on="item_id", how="left")
    floor = step.settings.foundation.selectors.retrieval_floor
    near = step.read("proximity").group_by("topic").agg(rows=pl.len(), near=(pl.col("proximity") >= floor).sum()).collect()
    table = of.describe(items, near)
    shown = table.select("topic", "words", "items", pl.col("share").round(4), "rows", "near")
    return Outcome(
        table,
        measures={"topics": table.height, "topics without a row in the pool": int((table["near"] == 0).sum())},
        charts={
            "largest": charts.table(shown.sort(pl.col("items") * -1, "topic"), rows=30),
            "fewest rows per item": charts.table(shown.sort(pl.col("near") / pl.col("items"), "topic"), rows=15),
        },
    )
