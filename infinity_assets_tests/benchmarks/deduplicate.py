"""Speed, memory, scaling and recall of de-duplication.

    python -m infinity_assets_tests.benchmarks.deduplicate COMMAND SOURCES

    figures       ours, with and without Dagster
    library       ours, the library functions alone
    peers         ours and the peers (--peers-python PATH)
    linear        a quarter, a half, the whole, and the whole with an altered copy
    incremental   all sources but one, then that one (`--last`)
    rethreshold   other thresholds, from stored fingerprints
    determinism   other numbers of workers, other orders of the sources
    truth         recall against the true Jaccard similarity of all pairs, English and Chinese

Ours has two modes (`dedup.near.answers`): `any` compares whole conversations, like the peers, and `alike` (the default)
requires similar answers, too. `figures`, `library`, `peers` and `truth` run both modes, the other commands the
configured one.

Inputs are made once, outside the timing, and kept in `--cache`: a lake up to `raw_pool` and `synthesized_from_text`,
and for the peers the same rows as two Parquet files of `id` and `text` (prompt, line break, answer). Loops are
compiled before the timing, too. The peers (rensa 0.5.0, text-dedup 0.4.0, Polars) have an environment of their own. A
contender is a whole process; `memory` is the peak of the summed proportional set sizes (PSS) of it and its children.
Absolute times depend on the machine: quote ratios of one run. Not a test: nothing is asserted on time.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from infinity_assets.atomic import write_parquet
from infinity_assets.catalog.lake import Lake
from infinity_assets.dedup.duplicates import find_duplicates
from infinity_assets.dedup.fingerprints import PLACE, fingerprint, schema
from infinity_assets.parallel import lazy_frame, map_in_order
from infinity_assets.progress import LogReporter
from infinity_assets.reading.pool import Pool
from infinity_assets.rows import conversation
from infinity_assets.settings import Settings
from infinity_assets_tests.benchmarks.measuring import Measured, Watch, load, measured, parser
from infinity_assets_tests.benchmarks.near_truth import BATCH, MODES, THRESHOLDS, truth
from infinity_assets_tests.frames import pool

READ = ("raw_pool", "synthesized_from_text")
"""Assets that are made before the timing."""


RENSA = """
import sys
from pathlib import Path
import polars as pl
from rensa import RMinHash, RMinHashLSH

index, kept, number = RMinHashLSH(threshold=0.7, num_perm=128, num_bands=16), 0, 0
for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
    for text in pl.read_parquet(path, columns=["text"])["text"].to_list():
        words = text.lower().split()
        signature = RMinHash(num_perm=128, seed=1)
        signature.update([" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))])
        if not index.query(signature):
            kept += 1
            index.insert(number, signature)
        number += 1
print(number, "rows,", kept, "kept")
"""
"""De-duplication as in rensa's README: one loop keeps the first of similar rows and does not verify similarities."""


def run_ours(lake: Path) -> None:
    """Run from `raw_pool` to `deduped` like a user: on Dagster, with all ledger tables, invariants and pages."""
    run_graph(lake, "deduped")


def run_graph(lake: Path, until: str) -> None:
    """Make the assets up to one."""
    from infinity_assets.runs import runner  # imported here so that it does not count for the library

    faults = runner.run_graph(lake, Pool.load(lake), LogReporter(), until=until)
    if faults:
        raise SystemExit("; ".join(f"{fault.asset}: {fault.sentence}" for fault in faults))


def run_library(lake: Path, backwards: bool = False) -> None:
    """Run the library functions alone, from the Parquet of `raw_pool` to the losers, without writing rows.

    The data folder gets `fingerprints/`, `losers.parquet` and `library.json` (durations and counts).
    """
    settings, watch = Settings(), Watch()
    sources = sorted(Lake(lake).partitions(READ[0]), reverse=backwards)
    prints = sign(lake, sources, lake / "fingerprints")
    signing = watch.lap()
    losers = find_duplicates(prints, settings.dedup, workers=settings.ingest.workers)
    losers.write_parquet(lake / "losers.parquet")
    finding, lost = watch.lap(), dict(losers.group_by("method").len().sort("method").iter_rows())
    (lake / "library.json").write_text(json.dumps({"signing": signing, "finding": finding, "lost": lost}))


def sign(lake: Path, sources: Iterable[str], folder: Path) -> dict[str, pl.LazyFrame]:
    """Write the fingerprints of each source to a file in a folder."""
    settings = Settings()

    def signed(batch: pl.DataFrame) -> pl.DataFrame:
        return fingerprint(batch, settings.dedup.near)

    prints = {}
    for source in sources:
        rows = Lake(lake).scan(READ[0], source).select("row_id", *PLACE, "messages")
        batches = rows.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming")
        made = lazy_frame(map_in_order(signed, batches, settings.ingest.workers), schema(settings.dedup.near))
        write_parquet(made, folder / f"{source}.parquet")
        prints[source] = pl.scan_parquet(folder / f"{source}.parquet", glob=False)
    return prints


def compile_loops() -> None:
    """Put the compiled loops into numba's cache, so that no timing includes their compilation."""
    words = "one two three four five six seven"
    texts = ([("user", words), ("assistant", words + tail)] for tail in ("", " eight"))
    rows = pool(*(("source", "file", number, turns) for number, turns in enumerate(texts)))
    rule = Settings().dedup
    find_duplicates({"source": fingerprint(rows, rule.near).lazy()}, rule)


def read_sources(lake: Path) -> None:
    """Make the assets that precede the timing."""
    run_graph(lake, READ[-1])


PROCESSES = {
    "run-graph": run_ours,
    "run-library": run_library,
    "run-library-backwards": lambda lake: run_library(lake, backwards=True),
    "run-read": read_sources,
}
"""Commands of this module as a measured process."""


def process(name: str, lake: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a measured process to its end."""
    command = [sys.executable, "-m", "infinity_assets_tests.benchmarks.deduplicate", f"run-{name}", str(lake)]
    return measured(command, {"INFINITY_DATA": str(lake), **(environment or {})})


def answers(mode: str) -> dict[str, str]:
    """Return the environment variables of a mode."""
    return {"INFINITY_DEDUP__NEAR__ANSWERS": mode}


def lake_of(sources: Path, lake: Path) -> Path:
    """Return the cached lake of a folder of sources."""
    done = lake / "read"
    if not done.exists():
        shutil.rmtree(lake, ignore_errors=True)
        lake.mkdir(parents=True)
        Pool(sources=sources, benchmarks=lake / "benchmarks").save(lake)
        process("read", lake)
        done.touch()
    return lake


@contextmanager
def copy_of(lake: Path):
    """Copy a lake by hard links, which is safe because files of a lake are replaced and never changed."""
    with tempfile.TemporaryDirectory(dir=lake.parent) as folder:
        copy = Path(folder, "data")
        shutil.copytree(lake / "lake", copy / "lake", copy_function=os.link)
        shutil.copytree(lake / "catalog", copy / "catalog")
        shutil.copy(lake / "pool.json", copy)
        yield copy


def rows_of(lake: Path) -> pl.LazyFrame:
    """Return the input rows."""
    return Lake(lake).scan(READ[0])


def texts_for_peers(lake: Path) -> Path:
    """Return the cached rows of a lake in the format of the peers."""
    folder = lake / "peers"
    if not folder.exists():
        turns = conversation.content_of("system", "user"), conversation.content_of("assistant")
        text = pl.concat_str(*turns, separator="\n")
        frame = rows_of(lake).select(text.alias("text")).collect().with_row_index("id")
        half = -(-frame.height // 2)
        with tempfile.TemporaryDirectory(dir=lake) as made:
            for number in (0, 1):
                frame.slice(number * half, half).write_parquet(Path(made, f"{number}.parquet"))
            shutil.copytree(made, folder)
    return folder


def seconds_of_steps(lake: Path, since: datetime) -> dict[str, float]:
    """Return the duration of each asset that was made since a time."""
    opened, spent = Lake(lake), {}
    for asset in sorted(opened.assets() - set(READ)):
        manifests = [opened.manifest(asset, name) for name in opened.partitions(asset)]
        if made := [manifest.seconds for manifest in manifests if manifest and manifest.finished_at >= since]:
            spent[asset] = sum(made)
    return spent


def line(name: str, took: Measured, base: Measured | None = None) -> None:
    """Print the line of a contender."""
    ratio = f"{took.seconds / base.seconds:7.2f} x" if base else " " * 9
    used = f"cpu {took.cpu:7.1f} s  memory {took.memory:5.2f} GiB  load {load():.2f}"
    print(f"{name:<54} {took.seconds:8.1f} s {ratio}  {used}", flush=True)


def graph(
    name: str, lake: Path, base: Measured | None = None, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run ours on Dagster, and print the duration in total and by asset."""
    began = datetime.now(UTC)
    took = process("graph", lake, environment)
    line(name, took, base)
    rows, kept = (Lake(lake).scan(asset).select(pl.len()).collect().item() for asset in (READ[0], "deduped"))
    steps = seconds_of_steps(lake, began)
    each = ", ".join(f"{asset} {seconds:.1f} s" for asset, seconds in steps.items())
    print(f"    {rows:,} rows, {kept:,} kept; the steps {sum(steps.values()):.1f} s: {each}", flush=True)
    return took


def library(lake: Path, mode: str) -> Measured:
    """Run the library functions alone, and print durations and counts."""
    with copy_of(lake) as copy:
        took = process("library", copy, answers(mode))
        line(f"library alone, answers {mode}", took)
        split = json.loads((copy / "library.json").read_text())
        size = sum(file.stat().st_size for file in (copy / "fingerprints").iterdir()) / 1e6
    lost = ", ".join(f"{method} {n:,}" for method, n in split["lost"].items()) or "none"
    durations = f"signing {split['signing']:.1f} s, finding {split['finding']:.1f} s"
    print(f"    {durations}; fingerprints {size:.0f} MB; rows lost: {lost}", flush=True)
    return took


def libraries(lake: Path) -> dict[str, Measured]:
    """Run the library in both modes."""
    return {f"library alone, answers {mode}": library(lake, mode) for mode in MODES}


def figures(lake: Path) -> dict[str, Measured]:
    """Run ours in both modes, with and without Dagster."""
    took = {}
    for mode in MODES:
        with copy_of(lake) as copy:
            took[f"Dagster, answers {mode}"] = graph(f"Dagster, answers {mode}", copy, environment=answers(mode))
    return {**took, **libraries(lake)}


def peers(lake: Path, python: Path) -> None:
    """Run ours and the peers. Ratios are relative to our mode `any`, which compares conversations like the peers."""
    texts, took = texts_for_peers(lake), figures(lake)
    took["rensa, loop, one core"] = measured([str(python), "-c", RENSA, str(texts)])
    line("rensa", took["rensa, loop, one core"])
    # The peer caches its input, which would change a second run.
    with tempfile.TemporaryDirectory(dir=lake.parent) as home:
        options = f"--path parquet --data_files {texts}/*.parquet --split train --column text --idx_column id"
        options += f" --output {home}/output --cache_dir {home}/cache"
        options += " --ngram 5 --threshold 0.7 --num_perm 240 --num_proc 2"
        command = [str(python), "-m", "text_dedup.minhash", *options.split()]
        environment = {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        took["text-dedup, two processes"] = measured(command, environment)
    line("text-dedup", took["text-dedup, two processes"])
    graph_any, library_any = (took[f"{name}, answers any"].seconds for name in ("Dagster", "library alone"))
    print("\n| | wall | of Dagster, any | of library, any | processor | peak memory (PSS) |\n|---|---|---|---|---|---|")
    for name, (seconds, cpu, memory) in took.items():
        ratios = f"{seconds / graph_any:.2f} | {seconds / library_any:.2f}"
        print(f"| {name} | {seconds:.1f} s | {ratios} | {cpu:.1f} s | {memory:.2f} GiB |")


def linear(lake: Path, cache: Path) -> None:
    """Run ours on parts of the rows, and on twice as many."""
    last = None
    digits_of = {"quarter": "0123", "half": "01234567", "whole": "0123456789abcdef", "doubled": "0123456789abcdef"}
    for name, digits in digits_of.items():
        folder = cache / "sources" / name
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            for source in Lake(lake).partitions(READ[0]):
                part = Lake(lake).scan(READ[0], source).filter(pl.col("row_id").str.tail(1).is_in(list(digits)))
                rows = part.select("messages").collect()
                write_source(rows, partial / source)
                if name == "doubled":
                    write_source(altered(rows), partial / f"{source}_altered")
            partial.rename(folder)
        with copy_of(lake_of(folder, cache / "lakes" / name)) as copy:
            characters = rows_of(copy).select(conversation.whole().str.len_chars().sum()).collect().item()
            last = graph(f"ours: {name}, {characters / 1e6:,.0f} M characters", copy, last)


def write_source(rows: pl.DataFrame, folder: Path) -> None:
    """Write rows as a source of JSON Lines, if there are any."""
    if rows.height:
        folder.mkdir(parents=True)
        rows.write_ndjson(folder / "rows.jsonl")


ALPHABETS = "az AZ 09 αω ΑΩ ая АЯ بغ في कह কহ కహ את กฮ あん アン 가힣 一龥"
ALTERED = {
    first + i: first + (i + size // 2) % size
    for first, size in ((ord(a), ord(z) - ord(a) + 1) for a, z in ALPHABETS.split())
    for i in range(size)
}
"""Map from every letter, digit and ideogram to the one half an alphabet further."""


def altered(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in other letters: equally similar to each other, but not similar to the originals."""
    turns = rows.with_row_index("row").explode("messages").unnest("messages")
    content = pl.Series("content", [text.translate(ALTERED) for text in turns["content"]], dtype=pl.String)
    by_row = turns.with_columns(content).group_by("row", maintain_order=True)
    return by_row.agg(pl.struct("role", "content").alias("messages")).drop("row")


def incremental(lake: Path, last: str) -> None:
    """Run ours without one source and then add it, with the library functions and on Dagster."""
    rule, workers = Settings().dedup, Settings().ingest.workers
    others = [source for source in Lake(lake).partitions(READ[0]) if source != last]
    with copy_of(lake) as copy:
        watch = Watch()
        prints = sign(copy, others, copy / "fingerprints")
        signing = watch.lap()
        new = sign(copy, [last], copy / "fingerprints")
        signing_last = watch.lap()
        at_once = find_duplicates({**prints, **new}, rule, workers=workers)
        finding = watch.lap()
        before = find_duplicates(prints, rule, workers=workers)
        finding_before = watch.lap()
        joined = find_duplicates({**prints, **new}, rule, before=before, added=[last], workers=workers)
        finding_last = watch.lap()
    signing += signing_last
    whole, added = signing + finding, signing_last + finding_last
    print(f"library, all at once {whole:.2f} s: signing {signing:.2f} s, finding {finding:.2f} s")
    print(f"library, without {last}: finding {finding_before:.2f} s")
    print(f"library, {last} added {added:.2f} s, {added / whole:.2%} of all at once", end=": ")
    print(f"signing {signing_last:.2f} s, finding {finding_last:.2f} s")
    print(f"    the same losers: {joined.equals(at_once)}", flush=True)
    pools = Pool.load(lake)
    with copy_of(lake) as copy:
        base = graph("Dagster, all at once", copy)
    with copy_of(lake) as copy:
        pools.model_copy(update={"only": tuple(name for name in pools.source_folders() if name != last)}).save(copy)
        graph(f"Dagster, without {last}", copy, base)
        pools.save(copy)
        process("read", copy)
        graph(f"Dagster, {last} added", copy, base)
        graph("Dagster, nothing new", copy, base)


def rethreshold(lake: Path) -> None:
    """Apply other thresholds to stored fingerprints."""
    settings = Settings()
    with copy_of(lake) as copy:
        watch = Watch()
        prints = sign(copy, Lake(copy).partitions(READ[0]), copy / "fingerprints")
        print(f"signing {watch.lap():.2f} s", flush=True)
        for threshold in (settings.dedup.near.threshold, *THRESHOLDS):
            near = settings.dedup.near.model_copy(update={"threshold": threshold})
            rule = settings.dedup.model_copy(update={"near": near})
            watch.lap()
            losers = find_duplicates(prints, rule, workers=settings.ingest.workers)
            count = (losers["method"] == "near").sum()
            print(f"threshold {threshold}: {watch.lap():.2f} s, {count:,} near-duplicates", flush=True)


def determinism(lake: Path) -> None:
    """Check that fingerprints and losers have the same bytes for any number of workers and any order of the sources.

    Every combination runs in its own process; the number of workers is also that of the threads of Polars.
    """
    found = set()
    runs = (("1 worker", "library", 1), ("1 worker again", "library", 1), ("2 workers", "library", 2))
    for name, kind, workers in (*runs, ("2 workers, sources backwards", "library-backwards", 2)):
        with copy_of(lake) as copy:
            process(kind, copy, {"INFINITY_INGEST__WORKERS": str(workers), "POLARS_MAX_THREADS": str(workers)})
            signed, lost = hash_of(sorted((copy / "fingerprints").iterdir())), hash_of([copy / "losers.parquet"])
            rows = pl.scan_parquet(copy / "losers.parquet").select(pl.len()).collect().item()
        found.add((signed, lost))
        print(f"{name:<30} fingerprints {signed}  losers {lost}  ({rows:,} rows lost)", flush=True)
    print("the same bytes" if len(found) == 1 else "NOT the same bytes")


def hash_of(files: Sequence[Path]) -> str:
    """Return a hash of names and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def main() -> None:
    commands = {
        "figures": lambda: figures(lake),
        "library": lambda: libraries(lake),
        "peers": lambda: peers(lake, chosen.peers_python),
        "linear": lambda: linear(lake, chosen.cache),
        "incremental": lambda: incremental(lake, chosen.last),
        "rethreshold": lambda: rethreshold(lake),
        "determinism": lambda: determinism(lake),
        "truth": lambda: truth(rows_of(lake), chosen.rows),
    }
    options, cache = parser(__doc__), Path(tempfile.gettempdir(), "deduplicate")
    options.add_argument("what", choices=(*commands, *PROCESSES))
    options.add_argument("folder", type=Path, help="folder whose subfolders are the sources")
    options.add_argument("--cache", type=Path, default=cache, help="folder for what is made once")
    options.add_argument("--peers-python", type=Path, help="the Python of the peers' environment")
    options.add_argument("--last", default="codealpaca", help="the source that is added last")
    options.add_argument("--rows", type=int, default=25_000, help="rows per language with known similarities")
    chosen = options.parse_args()
    if chosen.what in PROCESSES:
        PROCESSES[chosen.what](chosen.folder)
        return
    if chosen.what == "peers" and chosen.peers_python is None:
        options.error("peers wants --peers-python")
    lake = lake_of(chosen.folder.absolute(), chosen.cache / "lakes" / "all")
    compile_loops()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load():.2f}", flush=True)
    commands[chosen.what]()


if __name__ == "__main__":
    main()
