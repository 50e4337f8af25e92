"""From distinct rows to rows that hold no benchmark item.

| asset | grain | key |
|---|---|---|
| benchmarks | benchmark item | item_id |
| decontaminated | distinct row without a benchmark item in it | row_id |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import Gate
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.readers.benchmarks import ITEM, read_benchmark
from infinity_assets.rows.sources import content_fingerprint, load_source
from infinity_assets.scoring import domain


def _benchmark_files(step: Step) -> dict[str, str]:
    known = step.lake.catalog / "fingerprints" / "benchmarks"
    folders = step.pool.benchmark_folders().items()
    return {f"files of {name}": content_fingerprint(load_source(folder), known / f"{name}.json") for name, folder in folders}


@dataset(
    group="curate",
    files=_benchmark_files,
    columns=ITEM,
    meaning={
        "item_id": "benchmark, file where there are several, and position",
        "benchmark": "name of the benchmark's folder",
        "prompt": "what the item asks",
        "answer": "its answer, where the file gives one",
    },
    kinds=("polars", "parquet", "json"),
    version="2",
)
def benchmarks(step: Step) -> Outcome:
    """The evaluation sets: what must not be trained on, what DSIR aims at.

    Grain: one item. Key: item_id. A benchmark is a folder under `data/benchmarks`; its domain comes from its `source.yaml`, else it is the one
    that the rule gives most of its items.
    """
    read = [read_benchmark(folder) for folder in step.pool.benchmark_folders().values()]
    items = pl.concat([pl.DataFrame(schema=ITEM), *(benchmark.items for benchmark in read)])
    by_rule = domain.classify(pl.col("prompt"), pl.col("answer")).mode().sort().first().over("benchmark")
    items = items.with_columns(pl.col("domain").fill_null(by_rule))
    return Outcome(
        items,
        measures={
            "records without a prompt": sum(benchmark.skipped for benchmark in read),
            "records that repeat a prompt": sum(benchmark.repeated for benchmark in read),
            "benchmarks without an item": ", ".join(sorted(set(step.pool.benchmark_folders()) - set(items["benchmark"]))) or "none",
        },
        charts={"items": charts.table(items.group_by("benchmark", "domain").len("items").sort("benchmark"), rows=30)},
    )


@dataset(group="curate", reads=("deduped", "benchmarks"), settings=lambda s: (s.decontamination,), columns=schema.ROW)
def decontaminated(step: Step) -> Outcome:
    """Distinct rows that hold no benchmark item: neither an exact prompt nor a run of 13 tokens of one.

    Grain: one distinct row. Key: row_id. Every row taken out is in `decisions` with the item, the side and the span that it shares.
    """
    rows = step.read("deduped").collect()
    hits = Gate(step.read("benchmarks").collect(), step.settings.decontamination).hits(rows)
    dropped = rows.join(hits, on="row_id").with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.format("contaminated_{}", "method").alias("reason"),
        pl.struct("benchmark", "item_id", "side", "span", "shared").struct.json_encode().alias("detail"),
    )
    per_benchmark = dropped.group_by("benchmark", "source").agg(pl.len().alias("rows"), pl.col("item_id").n_unique().alias("items"))
    return Outcome(
        rows.join(hits, on="row_id", how="anti").sort("row_id"),
        rows_in=rows.height,
        decisions=dropped.select(list(schema.DECISIONS)),
        charts={"by benchmark and source": charts.table(per_benchmark.sort("benchmark", "source"), rows=20)} if dropped.height else {},
    )
