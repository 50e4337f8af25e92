"""Speed and memory of the gate on a pool, and its recall on known items.

    python -m infinity_assets_tests.benchmarks.decontamination LAKE BENCHMARKS [GROUND_TRUTH]

LAKE is a data folder with `raw_pool` (`infinity run --until raw_pool`). The gate reads all of its records, including
duplicates, from Parquet to hits. GROUND_TRUTH is a JSON Lines file of source, file, row, where, benchmark, lexical. Not
a test: nothing is asserted on time.
"""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.decontamination.allowed import read_allowed_texts
from infinity_assets.decontamination.gate import Gate
from infinity_assets.reading.benchmarks import read_benchmark
from infinity_assets.reading.sources import find_sources
from infinity_assets.settings import Decontamination
from infinity_assets_tests.benchmarks.measuring import Watch, load, parser, peak

_PLACE = ["source", "file", "position"]


def known(file: Path) -> pl.DataFrame:
    """Return the known rows whose prompt contains an item, not only its numbers: source, file, position, benchmark."""
    lines = pl.read_ndjson(file, infer_schema_length=None).filter(pl.col("lexical").fill_null(True))
    prompts = lines.filter(pl.col("where").is_in(["prompt", "exact_prompt"]))
    return prompts.select("source", "file", pl.col("row").alias("position"), "benchmark").unique(maintain_order=True)


def missed(truth: pl.DataFrame, hits: pl.DataFrame) -> pl.DataFrame:
    """Return the known rows without a hit in a user turn that removes the row or is excused.

    Args:
        truth: The result of `known`.
        hits: The hits of the gate, with the places of the rows.
    """
    found = hits.filter(pl.col("side") == "user", pl.col("verdict") != "reported")
    # The truth names a file without the suffix of its compression, and a file in an archive by its path there.
    unpacked = found.with_columns(pl.col("file").str.replace(r"\.(?:zst|gz)$", "").str.replace(r"^.*!", ""))
    return truth.join(
        unpacked.with_columns(pl.col("file").str.replace(r"^.*/", "").alias("name")),
        left_on=["source", "position", "benchmark", pl.col("file").str.replace(r"^.*/", "")],
        right_on=["source", "position", "benchmark", "name"],
        how="anti",
    )


def main() -> None:
    options = parser(
        __doc__,
        lake="data folder in which raw_pool is made",
        benchmarks="folder whose subfolders are the benchmarks",
    )
    options.add_argument("ground_truth", type=Path, nargs="?", help="JSON Lines of known rows")
    arguments = options.parse_args()
    print(f"load {load():.2f}")
    watch = Watch()
    items = pl.concat([read_benchmark(folder).items for folder in find_sources(arguments.benchmarks)])
    reading = watch.lap()
    gate = Gate(items, Decontamination(), read_allowed_texts(arguments.benchmarks)["text"])
    watch.lap()
    gate.matches(pl.DataFrame({"row_id": ["0"], "messages": [[{"role": "user", "content": items["prompt"][0]}]]}))
    indexing = watch.lap()
    rows, size, found = 0, 0, []
    pool = Lake(arguments.lake).scan("raw_pool").select("row_id", "messages", *_PLACE)
    for batch in pool.collect_batches(chunk_size=25_000, maintain_order=True, engine="streaming"):
        found.append(gate.matches(batch).join(batch.drop("messages"), on="row_id"))
        rows += batch.height
        size += int(batch["messages"].explode().struct.field("content").str.len_bytes().sum())
    seconds, megabytes = watch.lap(), size / 1e6
    hits = pl.concat(found)
    print(
        f"{items.height:,} items read in {reading:.1f} s, indexed (compiled first, if never before) in {indexing:.1f} s"
    )
    print(f"{rows:,} rows, {megabytes:,.0f} MB of text in {seconds:.1f} s", end=": ")
    print(f"{rows / seconds:,.0f} rows/s, {megabytes / seconds:,.0f} MB/s; peak memory {peak():.2f} GiB")
    with pl.Config(tbl_rows=60):
        counts = hits.group_by("verdict", "rule", "part", "side").agg(
            pl.col("row_id").n_unique().alias("rows"), pl.len().alias("hits")
        )
        print(counts.sort("verdict", "part", "rule", "side"))
    if arguments.ground_truth:
        truth = known(arguments.ground_truth)
        lost = missed(truth, hits)
        print(f"ground truth: {truth.height - lost.height:,} of {truth.height:,} known prompts found or excused")
        print(lost)


if __name__ == "__main__":
    main()
