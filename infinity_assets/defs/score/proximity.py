"""`proximity`: the benchmark item nearest to each prompt."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.selection import topics as of


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
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
        charts={
            "proximity": charts.histogram(found["proximity"], "cosine to the nearest item", bins=20, low=0, high=1)
        },
    )
