"""Speed, memory, scaling and closeness of DSIR draws, compared with the reference package.

    python -m infinity_assets_tests.benchmarks.dsir COMMAND LAKE

    speed    a quarter, a half, the whole pool; both kinds of features
    close    KL divergence of the draws from the target, per setting ([--reference PYTHON])
    smooth   a quarter of the pool, a target of 164 prompts

LAKE is a data folder with `raw_pool` (`infinity run --until raw_pool`). All of its rows are one domain, and the source
`--target` is its target. A run is a whole process, from Parquet to the drawn row ids, with loops compiled before;
`memory` is its peak PSS. PYTHON is the interpreter of an environment with data-selection==1.0.2, which runs with two
processes on the same prompts as JSON Lines: its time is from there to the drawn JSON Lines, and its log weights are
compared with ours under `features: reference`. Not a test: nothing is asserted on time.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import draw
from infinity_assets.selection.dsir import drawing
from infinity_assets.selection.dsir.passes import count_rows, weigh_rows
from infinity_assets.selection.dsir.weights import Counts, count, fit, weigh
from infinity_assets.settings.foundation import Dsir
from infinity_assets_tests.benchmarks.measuring import load, measured, parser

PACKAGE = """
import json, sys, time
from data_selection import HashedNgramDSIR

raw, target, out, k = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
began, marks = time.monotonic(), {}
dsir = HashedNgramDSIR([raw], [target], out + "/cache", num_proc=2)
dsir.fit_importance_estimator()
marks["fit"] = time.monotonic() - began
dsir.compute_importance_weights()
marks["weights"] = time.monotonic() - began
dsir.resample(out + "/drawn", k, cache_dir=out + "/writing")
marks["drawn"] = time.monotonic() - began
dsir.min_example_length = 0  # by default prompts of fewer than 100 tokens are never drawn
dsir.resample(out + "/drawn_any_length", k, cache_dir=out + "/writing")
json.dump(marks, open(out + "/marks.json", "w"))
"""
"""Selection as in the package's README, and again without its bound on the length."""

SETTINGS = {
    "default": {},
    "pool's lengths": {"length": "pool"},
    "no strata": {"length": "none"},
    "no strata, reference's features": {"length": "none", "features": "reference", "smoothing": 0.0},
    "reference's features": {"features": "reference"},
    "no smoothing": {"smoothing": 0.0},
    "top k": {"top_k": True},
    "unigrams": {"ngram": 1},
    "trigrams, 100,000 buckets": {"ngram": 3, "buckets": 100_000},
}


def pool_of(lake: Path, part: int = 4) -> pl.LazyFrame:
    """Return `part` quarters of the rows of `raw_pool`, as one domain, with unique row ids made from their places."""
    rows = Lake(lake).scan("raw_pool").with_row_index("at").filter(pl.col("at") % 4 < part)
    every = {"domain": pl.lit("math"), "kind": pl.lit("conversation"), "row_id": pl.format("{}#{}", "row_id", "at")}
    return rows.with_columns(**every)


def draw_rows(table: pl.DataFrame, k: int, top_k: bool = False) -> pl.DataFrame:
    """Draw k rows of a table of weights."""
    keyed = table.with_columns(drawing.noisy_keys(table, "dsir:math", top_k))
    return keyed.with_columns(drawing.order(keyed)).drop_nulls("order").sort("order", "row_id").head(k)


def drawn(rows: pl.LazyFrame, dsir: Dsir, k: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the importance of all rows, and the draw."""
    workers = len(os.sched_getaffinity(0))
    counts = count_rows(rows, dsir, workers)
    [target] = dsir.targets["math"]
    table = weigh_rows(rows, {"math": fit(counts["pool", "math"], counts["target", target], dsir)}, dsir, workers)
    return table, draw_rows(table, k, dsir.top_k)


def speed(lake: Path, target: str, k: int, repeat: int) -> None:
    """Measure time and memory of whole processes."""
    for features in ("words", "reference"):
        for part in (1, 2, 4):
            with tempfile.TemporaryDirectory() as out:
                command = [sys.executable, "-m", __spec__.name, "once", str(lake), "--target", target, "--k", str(k)]
                command += ["--features", features, "--part", str(part), "--out", f"{out}/drawn.parquet"]
                runs = [measured(command) for _ in range(repeat)]
                rows = pool_of(lake, part).select(pl.len()).collect().item()
                taken = pl.read_parquet(f"{out}/drawn.parquet").height
                best, every = min(runs), ", ".join(f"{run.seconds:.1f}" for run in runs)
                print(
                    f"{features:10} {rows:>8,} rows, {taken:,} drawn: {best.seconds:6.1f} s (of {every})  "
                    f"{rows / best.seconds:9,.0f} rows/s  {best.cpu:.1f} s of CPU  "
                    f"{max(run.memory for run in runs):.2f} GiB  load {load():.1f}",
                    flush=True,
                )


def divergence(target: np.ndarray, other: np.ndarray) -> float:
    """Return the KL divergence of the second distribution from the first, in nats, from counts."""
    p, q = target / target.sum() + 1e-8, other / other.sum() + 1e-8
    return float((p * np.log(p / q)).sum())


def bigrams(texts: pl.Series, features: str) -> np.ndarray:
    """Return the counts of hashed bigrams alone."""
    total = np.zeros(10_000, np.int64)
    settings = [Dsir.model_validate({"features": features, "ngram": n}) for n in (2, 1)]
    for part in texts.to_frame().iter_slices(8_000):
        both, single = (count(part.to_series(), one).ngrams for one in settings)
        total += both - single
    return total


def close(lake: Path, target: str, k: int, part: int, reference: Path | None) -> None:
    """Compare draws with the target, and the weights with the weights of the reference."""
    rows, dsir = pool_of(lake, part), Dsir(targets={"math": (target,)})
    at = pl.col("row_id").str.split("#").list.last().cast(pl.Int64).alias("at")
    number, text = pl.col("at").cast(pl.Int64), conversation.content_of("user").alias("text")
    texts = rows.select(number, "row_id", "source", text).collect(engine="streaming")
    of_target = texts.filter(pl.col("source") == target)["text"]
    aims = {features: bigrams(of_target, features) for features in ("words", "reference")}
    base = [divergence(aim, bigrams(texts.sample(k, seed=0)["text"], features)) for features, aim in aims.items()]

    def say(name: str, chosen: pl.Series, seconds: float | None = None) -> None:
        own = texts.filter(pl.col("at").is_in(chosen.implode()))
        assert own.height == min(k, texts.height)
        found = [divergence(aim, bigrams(own["text"], features)) for features, aim in aims.items()]
        chars = own["text"].str.len_chars()
        print(
            f"{name:34} KL {found[0]:.3f} (gain {base[0] - found[0]:.3f}), "
            f"reference's bigrams {found[1]:.3f} ({base[1] - found[1]:.3f})  "
            f"{(own['source'] == target).sum():,} of the target  "
            f"characters: median {chars.median():.0f}, mean {chars.mean():.0f}"
            + (f"  {seconds:.1f} s" if seconds else ""),
            flush=True,
        )

    say("random", texts["at"].gather(draw("random", texts["row_id"]).arg_sort().head(k)))
    say("the target itself, and at random", texts.sort(pl.col("source") != target)["at"].head(k))
    weights = None
    for name, changes in SETTINGS.items():
        began = time.monotonic()
        table, chosen = drawn(rows, Dsir.model_validate({**dsir.model_dump(), **changes}), k)
        say(name, chosen.select(at).to_series(), time.monotonic() - began)
        if name == "no strata, reference's features":
            weights = table.select(at, "log_weight").sort("at")["log_weight"].fill_null(0.0).to_numpy()
    if reference is None or weights is None:
        return
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out)
        texts.select("text", "at").write_ndjson(folder / "raw.jsonl")
        texts.filter(pl.col("source") == target).select("text").write_ndjson(folder / "target.jsonl")
        command = [str(reference), "-c", PACKAGE, str(folder / "raw.jsonl"), str(folder / "target.jsonl"), out, str(k)]
        took, marks = measured(command), (folder / "marks.json").read_text()
        print(f"data-selection, 2 processes: {marks} seconds, {took.memory:.2f} GiB, load {load():.1f}")
        theirs = np.empty(texts.height)
        for half in (0, 1):
            theirs[half::2] = np.load(folder / "cache" / "log_importance_weights" / f"{half}.npy")
        print(f"largest difference of a log weight: {np.abs(theirs - weights).max():.2e} of {np.abs(theirs).max():.0f}")
        for name in ("drawn", "drawn_any_length"):
            chosen = pl.concat([pl.read_ndjson(file) for file in sorted((folder / name).rglob("*.jsonl"))])
            say(f"data-selection, {name}", chosen["at"])


def smooth(lake: Path, target: str, k: int) -> None:
    """Cut the target to 164 prompts and print, by smoothing, the fit of p to the others and the draw's closeness."""
    rows = pool_of(lake).filter(pl.col("at") % 4 == 0)
    texts = rows.select("row_id", "source", conversation.content_of("user").alias("text")).collect(engine="streaming")
    every = pool_of(lake).filter(pl.col("source") == target).select(conversation.content_of("user")).collect()
    prompts = every.to_series().sample(fraction=1.0, shuffle=True, seed=0)
    half, aim = prompts.len() // 2, bigrams(prompts, "words")
    print(f"{texts.height:,} rows, {k // 4:,} drawn")
    for ngram, buckets in ((2, 10_000), (2, 100_000)):
        dsir = Dsir(ngram=ngram, buckets=buckets)
        pool = Counts.zeros(dsir)
        for part in texts["text"].to_frame().iter_slices(8_000):
            pool = pool.add(count(part.to_series(), dsir))
        held_out = count(prompts[half:], dsir).ngrams
        for size in (164, half):
            for smoothing in (0.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0):
                fitted = fit(pool, count(prompts[:size], dsir), dsir.model_copy(update={"smoothing": smoothing}))
                gain = float((held_out * fitted.log_ratio).sum() / held_out.sum())
                weights = pl.concat([weigh(part["text"], fitted, dsir) for part in texts.iter_slices(8_000)])
                table = pl.concat([texts, weights], how="horizontal")
                chosen = draw_rows(table, k // 4)
                setting = f"{size:>5} prompts, {ngram}-grams, {buckets:>7,} buckets, smoothing {smoothing:>7,.0f}"
                fit_of_p = f"held-out prompts {gain:+.3f} nats per n-gram against the pool"
                distance = divergence(aim, bigrams(chosen["text"], "words"))
                of_target = (chosen["source"] == target).sum()
                print(f"{setting}: {fit_of_p}, KL {distance:.3f}, {of_target:,} of the target", flush=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=("speed", "close", "smooth", "once"))
    arguments.add_argument("lake", type=Path, help="data folder in which raw_pool is made")
    arguments.add_argument("--target", default="gsm8k_train", help="the source that is the target")
    arguments.add_argument("--k", type=int, default=60_000, help="rows to be drawn")
    arguments.add_argument("--repeat", type=int, default=3, help="runs, of which the fastest counts")
    arguments.add_argument("--reference", type=Path, help="Python with data-selection==1.0.2")
    arguments.add_argument("--part", type=int, default=4, help="quarters of the pool that `once` and `close` read")
    arguments.add_argument("--features", default="words", help="`once`: words or reference")
    arguments.add_argument("--out", type=Path, help="`once`: where the ids go")
    options = arguments.parse_args()
    match options.what:
        case "once":
            dsir = Dsir.model_validate({"targets": {"math": (options.target,)}, "features": options.features})
            _, chosen = drawn(pool_of(options.lake, options.part), dsir, options.k * options.part // 4)
            chosen.select("row_id").write_parquet(options.out)
        case "speed":
            speed(options.lake, options.target, options.k, options.repeat)
        case "close":
            close(options.lake, options.target, options.k * options.part // 4, options.part, options.reference)
        case "smooth":
            smooth(options.lake, options.target, options.k)


if __name__ == "__main__":
    main()
