"""Curate: from the pool of all sources to distinct rows that hold no benchmark item.

| asset | grain | key |
|---|---|---|
| duplicates | record that lost to another with the same content | row_id, source, file, position |
| deduped | distinct row | row_id |
| benchmarks | benchmark item | item_id |
| decontaminated | distinct row without a benchmark item in it | row_id |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.gate import Gate
from infinity_assets.dedup import exact
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.ids import shard_of
from infinity_assets.rows.readers.benchmarks import ITEM, read_benchmark
from infinity_assets.rows.sources import content_fingerprint, load_source
from infinity_assets.scoring import domain


@dataset(
    group="curate",
    reads=("fingerprints",),
    settings=lambda s: (s.dedup,),
    columns={"row_id": pl.String, "source": pl.String, "file": pl.String, "position": pl.Int64, "duplicate_of": pl.String},
    meaning={"duplicate_of": "row id of the survivor"},
)
def duplicates(step: Step) -> Outcome:
    """Records whose content another record has already, within and across sources, and which record that is.

    Grain: one losing record. The survivor follows from the source priority in the settings, then source name, file and position.
    """
    losers = exact.find_duplicates(step.read("fingerprints"), step.settings.dedup.source_priority)
    pairs = losers.group_by("source", "survivor_source").len("records").sort(pl.col("records") * -1, "source", "survivor_source")
    return Outcome(losers, charts={"who duplicates whom": charts.table(pairs, rows=20)})


@dataset(group="curate", reads=("duplicates", "raw_pool", "synthesized_from_text"), settings=lambda s: (s.shards,), columns=schema.ROW)
def deduped(step: Step) -> Outcome:
    """The pool, conversations about its texts included, without duplicates, by shard of the row id.

    Grain: one distinct row. Key: row_id. Every record that lost is in `decisions` with the survivor's id; all origins and licences stay in `origins`.
    """
    mine = shard_of(step.settings.shards) == step.partition
    parts = (step.read(asset).filter(mine).select(list(schema.ROW)) for asset in ("raw_pool", "synthesized_from_text"))
    pool = pl.concat(parts).collect()
    losers = step.read("duplicates").filter(mine).collect()
    dropped = losers.with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.lit("exact_duplicate").alias("reason"),
        pl.struct("duplicate_of", "survivor_source", "method", "similarity").struct.json_encode().alias("detail"),
    ).select(list(schema.DECISIONS))
    return Outcome(exact.survivors(pool, losers).sort("row_id"), rows_in=pool.height, decisions=dropped)


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
