"""Speed and memory of picking seeds, and the spread of the seeds.

    python -m infinity_assets_tests.benchmarks.seeds [--rows 1000000] [--width 256] [--max-seeds 100000] [--grid 100]

Picks from synthetic rows with labels, losses and vectors (half of them clustered, one in five without a vector) in a
process of its own. `memory` is its peak PSS, including the rows of the pool. Vectors are read from Parquet. Not a test:
nothing is asserted on time.
"""

import json
import sys
import tempfile
import time
from argparse import SUPPRESS
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.rows.ids import digest
from infinity_assets.selection.seeds import summary
from infinity_assets.selection.seeds.picking import pick
from infinity_assets.settings.chat import Seeds
from infinity_assets.settings.foundation import Proxy
from infinity_assets_tests.benchmarks.measuring import measured, parser

_LABELS = 15_000
_PART = 100_000


def make_up(folder: Path, rows: int, width: int) -> None:
    """Write rows, vectors and vocabulary."""
    rng = np.random.default_rng(0)
    labels = pl.Series("label", [f"label {n}" for n in range(_LABELS)])
    used = rng.zipf(1.3, size=4 * rows) % _LABELS
    some = pl.DataFrame({"row": np.arange(4 * rows) // 4, "label": labels.gather(used)}).filter(
        pl.Series(rng.random(4 * rows) < 0.8)
    )
    ability = some.group_by("row", maintain_order=True).agg(pl.col("label").unique().alias("ability"))
    frame = pl.DataFrame(
        {
            "row_id": [digest(str(n)) for n in range(rows)],
            "kind": np.where(rng.random(rows) < 0.05, "text", "conversation"),
            "prompt_chars": rng.integers(10, 2000, rows),
            "marked_wrong": False,
            "language": np.where(rng.random(rows) < 0.2, "zh", "en"),
            "row": np.arange(rows),
            "cate_ability": pl.Series(np.char.add("ability ", rng.integers(0, 26, rows).astype(str)).tolist())
            .reshape((rows, 1))
            .arr.to_list(),
            "label_source": ["model"] * rows,
            "loss": rng.gamma(2, 1, rows),
            "loss_after": rng.gamma(2, 0.9, rows),
            "ifd": rng.normal(0.7, 0.2, rows),
            "depth": rng.gamma(3, 1, rows),
        }
    )
    frame.join(ability, on="row", how="left", maintain_order="left").drop("row").write_parquet(folder / "rows.parquet")
    counts = np.bincount(used, minlength=_LABELS)
    pl.DataFrame({"label": labels, "rows": counts}).write_parquet(folder / "vocabulary.parquet")
    (folder / "vectors").mkdir()
    centres = rng.normal(size=(50, width)).astype(np.float32)
    for start in range(0, rows, _PART):
        part = frame[start : start + _PART]
        vectors = rng.normal(size=(part.height, width)).astype(np.float32)
        vectors[::2] = vectors[::2] * 0.3 + centres[rng.integers(0, 50, len(vectors[::2]))]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        series = pl.Series("vector", vectors.astype(np.float16), dtype=pl.Array(pl.Float16, width))
        known = pl.when(part["language"] == "en").then(series).alias("vector")
        part.select("row_id", known).write_parquet(folder / "vectors" / f"{start:09}.parquet")


def once(folder: Path, recipe: Seeds) -> None:
    """Pick seeds, and write durations and results."""
    rows, vocabulary = pl.read_parquet(folder / "rows.parquet"), pl.read_parquet(folder / "vocabulary.parquet")
    vectors = pl.scan_parquet(sorted((folder / "vectors").glob("*.parquet")), glob=False)
    began = time.monotonic()
    found = pick(rows, vectors, vocabulary, recipe)
    result = {
        "seconds": time.monotonic() - began,
        "candidates": found.cells.height,
        "seeds": int(found.cells["taken"].sum()),
        "covered": str(summary.count_occupied_cells(found.cells)),
    }
    (folder / "result.json").write_text(json.dumps(result))


def main() -> None:
    options = parser(__doc__)
    for name, default in (("rows", 1_000_000), ("width", 256), ("max-seeds", 100_000), ("grid", 100)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--once", type=Path, help=SUPPRESS)
    arguments = options.parse_args()
    if arguments.once:
        tail = {"long_tail": (20, 200), "long_tail_sampled": (200, 500), "tuned": Proxy(enabled=True)}
        once(arguments.once, Seeds(max_seeds=arguments.max_seeds, grid=arguments.grid, **tail))
        return
    with tempfile.TemporaryDirectory() as made:
        make_up(Path(made), arguments.rows, arguments.width)
        command = [sys.executable, "-m", __spec__.name, "--once", made]
        run = measured([*command, "--max-seeds", str(arguments.max_seeds), "--grid", str(arguments.grid)])
        result = json.loads((Path(made) / "result.json").read_text())
    rows, seconds = arguments.rows, result["seconds"]
    print(
        f"{rows:,} rows, {result['candidates']:,} candidates, {result['seeds']:,} seeds: {seconds:.1f} s, "
        f"{rows / seconds:,.0f} rows/s, {run.cpu:.0f} s of processors, memory {run.memory:.2f} GiB\n{result['covered']}"
    )


if __name__ == "__main__":
    main()
