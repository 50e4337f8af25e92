"""`benchmarks`: the items of the evaluation sets."""

from collections import Counter

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.reading.benchmarks import ITEM, read_benchmark
from infinity_assets.reading.sources import content_fingerprint, load_source
from infinity_assets.report import charts
from infinity_assets.scoring import domain


def benchmark_files(step: Step) -> dict[str, str]:
    """Return the fingerprint of every benchmark's files."""
    cache = step.lake.catalog / "fingerprints" / "benchmarks"
    return {
        f"files of {name}": content_fingerprint(load_source(folder), cache / f"{name}.json")
        for name, folder in step.pool.benchmark_folders().items()
    }


@dataset(group="curate", files=benchmark_files, columns=ITEM, kinds=("polars", "parquet", "json"), version="6")
def benchmarks(step: Step) -> Outcome:
    """The items of the evaluation sets. No item may be trained on, but DSIR selects rows that resemble them.

    Grain: one item. Key: item_id. A benchmark is a folder in `data/benchmarks`. Its domain comes from its
    `source.yaml`, or else is the domain that the classifier gives to most of its items.
    """
    read = [read_benchmark(folder) for folder in step.pool.benchmark_folders().values()]
    items = pl.concat([pl.DataFrame(schema=ITEM), *(benchmark.items for benchmark in read)])
    skipped = sum((Counter(benchmark.skipped) for benchmark in read), Counter[str]())
    by_rule = domain.classify(pl.col("prompt"), pl.col("answer")).mode().sort().first().over("benchmark")
    items = items.with_columns(pl.col("domain").fill_null(by_rule))
    without = sorted(set(step.pool.benchmark_folders()) - set(items["benchmark"]))
    return Outcome(
        items,
        measures={
            **{f"records left out: {reason}": skipped[reason] for reason in sorted(skipped)},
            "benchmarks without an item": ", ".join(without) or "none",
        },
        charts={"items": charts.table(items.group_by("benchmark", "domain").len("items").sort("benchmark"), rows=30)},
    )
