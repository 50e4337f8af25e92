"""`proximity`: the benchmark item nearest to each prompt. Grain: a row of `decontaminated`. Key: row_id."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.selection import topics


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated", "vectors", "benchmark_vectors"),
    settings=lambda s: (s.foundation.retrieval_exact_up_to,),
    columns=topics.PROXIMITY,
    kinds=("polars", "parquet", "hnswlib"),
)
def proximity(step: Step) -> Outcome:
    """The benchmark item in the same domain that is nearest to each prompt, with its topic and the similarity.

    Grain: one row of `decontaminated`. Key: row_id. Every prompt is compared with every item if there are at most
    `foundation.retrieval_exact_up_to` items.
    """
    domains = step.read("decontaminated").select("row_id", "domain")
    rows = step.read("vectors").join(domains, on="row_id", how="left", maintain_order="left").collect()
    items = step.read("benchmark_vectors").collect()
    exact_up_to = step.settings.foundation.retrieval_exact_up_to
    nearest = topics.nearest_items(rows, items, exact_up_to, advance=lambda done, total: step.advance(done, total))
    return Outcome(
        nearest,
        measures={"rows compared": int(nearest["proximity"].count()), "items": items.height},
        charts={
            "proximity": charts.histogram(nearest["proximity"], "cosine to the nearest item", bins=20, low=0, high=1)
        },
    )
