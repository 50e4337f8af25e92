"""Speed and memory of rebuilding InfInstruct-F from stored tables after a threshold has changed.

    python -m infinity_assets_tests.benchmarks.foundation --data DATA [--max-rows N]

DATA is a data folder with a lake up to `decontaminated`, `measured`, `vectors`, `importance` and `proximity`. Missing
scores and labels count as unknown. The folder is not changed. Prints a line per rebuild: rows of the pool, seconds,
rows per second, rows of F, and the process's peak memory.
"""

import tempfile
import time
from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome, StepKey
from infinity_assets.defs.foundation.inf_instruct_f import inf_instruct_f as _  # noqa: F401  (registers it)
from infinity_assets.defs.registry import REGISTERED
from infinity_assets.rows.schema import ROW
from infinity_assets.selection.domain_budget import budget
from infinity_assets.settings import Settings
from infinity_assets_tests.benchmarks.measuring import load, parser, peak
from infinity_assets_tests.defs.steps import step_of

UNKNOWN = {
    "scored": dict.fromkeys(("quality", "complexity", "reward", "ifd", "ifd_perplexity", "depth"), pl.Float64),
    "labelled": {"cate_ability": pl.List(pl.String), "ability": pl.List(pl.String)},
}
BORROWED = (
    *("decontaminated", "measured", "vectors", "importance", "proximity", "benchmarks", "benchmark_vectors"),
    *(*UNKNOWN, "seed_selected"),
)


def prepare(data: Path, scratch: Path, settings: Settings) -> Lake:
    """Return a lake with links to the rows of another, and tables of nulls for the tables that it lacks."""
    given, lake = Lake(data), Lake(scratch)

    def commit(asset: str, rows: pl.DataFrame) -> None:
        lake.commit(key_of(asset), Outcome(rows), "benchmark", 0.0)

    for asset in BORROWED:
        for partition in given.partitions(asset):
            for kind in ("rows_file", "manifest_file"):
                place, target = (getattr(owner, kind)(asset, partition) for owner in (lake, given))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(target.resolve())
    rows = lake.scan("decontaminated")
    for asset, columns in UNKNOWN.items():
        if not lake.partitions(asset):
            nulls = {name: pl.lit(None, dtype) for name, dtype in columns.items()}
            commit(asset, rows.select("row_id", **nulls).collect())
    if not lake.partitions("seed_selected"):
        commit("seed_selected", pl.DataFrame(schema=ROW))
    step = step_of("topics", lake, settings)
    commit("topics", REGISTERED["topics"].function(step).rows)  # type: ignore[arg-type]
    available = rows.filter(pl.col("kind") == "conversation").group_by("domain").len("rows").collect()
    commit("domain_budget", budget(available, settings.foundation))
    return lake


def key_of(asset: str, settings_hash: str = "") -> StepKey:
    return StepKey(asset=asset, partition="all", code_version="", settings_hash=settings_hash, inputs={})


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--max-rows", type=int, default=20_000)
    arguments = options.parse_args()
    settings = Settings()
    recipe = settings.foundation.model_copy(update={"max_rows": arguments.max_rows})
    settings = settings.model_copy(update={"foundation": recipe})
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        lake = prepare(arguments.data, scratch, settings)
        pool = lake.scan("decontaminated").select(pl.len()).collect().item()
        print(f"prepared, peak {peak():.2f} GiB")
        for similarity in (recipe.max_similarity, recipe.max_similarity - 0.05):
            tightened = recipe.model_copy(update={"max_similarity": similarity})
            step = step_of("inf_instruct_f", lake, settings.model_copy(update={"foundation": tightened}))
            key = key_of("inf_instruct_f", str(similarity))
            began, worked = time.perf_counter(), time.process_time()
            outcome = REGISTERED["inf_instruct_f"].function(step)
            computed = time.perf_counter() - began
            manifest = lake.commit(key, outcome, "benchmark", time.time())
            seconds = time.perf_counter() - began
            used = time.process_time() - worked
            print(
                f"max_similarity {similarity:.2f}: {pool:,} rows in {seconds:.1f} s ({computed:.1f} s before writing; "
                f"{used:.1f} s of processor; load {load():.1f}), {pool / seconds:,.0f} rows/s, "
                f"{manifest.rows_out:,} rows of F, peak {peak():.2f} GiB"
            )
            print(outcome.charts["domains"])


if __name__ == "__main__":
    main()
