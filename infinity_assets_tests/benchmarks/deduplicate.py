"""How fast rows become distinct rows, in how much memory, how that grows, and how many of the true near-duplicates are found.

    python -m infinity_assets_tests.benchmarks.deduplicate figures SOURCES       ours, with and without Dagster
    python -m infinity_assets_tests.benchmarks.deduplicate peers SOURCES --peers-python PATH
    python -m infinity_assets_tests.benchmarks.deduplicate linear SOURCES        a quarter, a half, the whole, and the whole with an altered copy
    python -m infinity_assets_tests.benchmarks.deduplicate incremental SOURCES   all sources but one, then that one (`--last`)
    python -m infinity_assets_tests.benchmarks.deduplicate truth SOURCES         against the true Jaccard of all pairs, English and Chinese

What is read is made once, outside the timing, and kept in `--cache`: a lake that ends with `raw_pool` and `synthesized_from_text`, and for the
peers the same rows as two Parquet files of `id` and `text` (prompt, line break, answer). The peers (rensa 0.5.0, text-dedup 0.4.0, Polars) are in an
environment of their own. A contender is a whole process; `memory` is the sum of the proportional set sizes (PSS) of it and its children at its
highest. Absolute times move from machine to machine: quote ratios of one run. Not a test: nothing is asserted on time.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.pool import Pool
from infinity_assets.dedup import exact
from infinity_assets.defs.runner import Runner
from infinity_assets.progress import LogReporter
from infinity_assets.rows import conversation
from infinity_assets.rows.text import tokens
from infinity_assets.settings import Settings
from infinity_assets_tests.benchmarks.ingest import Measured, measured

READ = ("raw_pool", "synthesized_from_text")
"""The assets that are there before the timing begins."""

PAIRS = "near_pairs"
"""The asset of the near-duplicate pairs: a and b (content hashes), similarity."""

THRESHOLD, SHINGLE = 0.7, 5
TRUTH_ROWS = 50_000
"""Rows per language whose true similarities are computed."""

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
"""As rensa's README does it: one loop, the first of similar rows is kept, their true similarity is not looked at."""


def run_ours(lake: Path) -> None:
    """From `raw_pool` to `deduped` as users run it: Dagster, every asset in between, their books, invariants and pages."""
    faults = Runner(lake, Pool.load(lake), LogReporter()).run(until="deduped")
    if faults:
        raise SystemExit("; ".join(f"{fault.asset}: {fault.sentence}" for fault in faults))


def run_library(lake: Path) -> None:
    """The library functions alone, from the Parquet of `raw_pool` to the losers with what they duplicate. Writes one Parquet file, no rows."""
    files = sorted((lake / "lake" / READ[0]).glob("*.parquet"))
    fingerprints = pl.concat([exact.fingerprint(pl.read_parquet(file)) for file in files])
    exact.find_duplicates(fingerprints.lazy(), Settings().dedup.source_priority).write_parquet(lake / "losers.parquet")


def read_sources(lake: Path) -> None:
    """Make what is there before the timing begins."""
    faults = Runner(lake, Pool.load(lake), LogReporter()).run(until=READ[-1])
    if faults:
        raise SystemExit("; ".join(f"{fault.asset}: {fault.sentence}" for fault in faults))


PROCESSES = {"ours": run_ours, "library": run_library, "read": read_sources}
"""What this module does when it is started again as a process to be measured."""


def process(name: str, lake: Path) -> Measured:
    """One of them, to its end."""
    return measured([sys.executable, "-m", "infinity_assets_tests.benchmarks.deduplicate", name, str(lake)], {"INFINITY_DATA": str(lake)})


def lake_of(sources: Path, lake: Path) -> Path:
    """A lake of what was read from a folder of sources; made once."""
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
    """A lake of one's own: what is read is shared by hard links, which is safe because files of the lake are replaced, never changed."""
    with tempfile.TemporaryDirectory(dir=lake.parent) as folder:
        copy = Path(folder, "data")
        shutil.copytree(lake / "lake", copy / "lake", copy_function=os.link)
        shutil.copytree(lake / "catalog", copy / "catalog")
        shutil.copy(lake / "pool.json", copy)
        yield copy


def rows_of(lake: Path) -> pl.LazyFrame:
    """The rows that were read."""
    return Lake(lake).scan(READ[0])


def texts_for_peers(lake: Path) -> Path:
    """The rows of a lake as the peers read them; made once."""
    folder = lake / "peers"
    if not folder.exists():
        text = pl.concat_str(conversation.content_of("system", "user"), conversation.content_of("assistant"), separator="\n")
        frame = rows_of(lake).select(text.alias("text")).collect().with_row_index("id")
        half = -(-frame.height // 2)
        with tempfile.TemporaryDirectory(dir=lake) as made:
            for number in (0, 1):
                frame.slice(number * half, half).write_parquet(Path(made, f"{number}.parquet"))
            shutil.copytree(made, folder)
    return folder


def seconds_of_steps(lake: Path, since: datetime) -> dict[str, float]:
    """How long each asset took that was made since then."""
    books, spent = Lake(lake), {}
    for asset in sorted(books.assets() - set(READ)):
        made = [manifest for name in books.partitions(asset) if (manifest := books.manifest(asset, name)) and manifest.finished_at >= since]
        if made:
            spent[asset] = sum(manifest.seconds for manifest in made)
    return spent


def line(name: str, took: Measured, base: Measured | None = None) -> None:
    """Print one contender."""
    ratio = f"{took.seconds / base.seconds:7.2f} x" if base else " " * 9
    load = os.getloadavg()[0]
    print(f"{name:<54} {took.seconds:8.1f} s {ratio}  cpu {took.cpu:7.1f} s  memory {took.memory:5.2f} GiB  load {load:.2f}", flush=True)


def graph(name: str, lake: Path, base: Measured | None = None) -> Measured:
    """Run ours through Dagster on a lake, and print what it took, in all and by asset."""
    began = datetime.now(UTC)
    took = process("ours", lake)
    line(name, took, base)
    rows, kept = (Lake(lake).scan(asset).select(pl.len()).collect().item() for asset in (READ[0], "deduped"))
    steps = seconds_of_steps(lake, began)
    each = ", ".join(f"{asset} {seconds:.1f} s" for asset, seconds in steps.items())
    print(f"    {rows:,} rows, {kept:,} kept; the steps {sum(steps.values()):.1f} s: {each}", flush=True)
    return took


def figures(lake: Path) -> Measured:
    """Ours, with and without Dagster."""
    with copy_of(lake) as copy:
        took = graph("ours: Dagster, fingerprints to deduped", copy)
        line("ours: library alone, Parquet to losers and evidence", process("library", copy), took)
    return took


def peers(lake: Path, python: Path) -> None:
    """Ours beside the peers."""
    texts, base = texts_for_peers(lake), figures(lake)
    line("rensa, loop, one core", measured([str(python), "-c", RENSA, str(texts)], {}), base)
    with tempfile.TemporaryDirectory(dir=lake.parent) as home:  # the peer caches what it reads, and its second run would be another
        command = [str(python), "-m", "text_dedup.minhash", "--path", "parquet", "--data_files", f"{texts}/*.parquet", "--split", "train"]
        command += ["--column", "text", "--idx_column", "id", "--output", f"{home}/output", "--cache_dir", f"{home}/cache"]
        command += ["--ngram", "5", "--threshold", "0.7", "--num_perm", "240", "--num_proc", "2"]
        line("text-dedup", measured(command, {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}), base)


def linear(lake: Path, cache: Path) -> None:
    """Ours on parts of the set, and on twice as much."""
    last = None
    for name, digits in (("quarter", "0123"), ("half", "01234567"), ("whole", "0123456789abcdef"), ("doubled", "0123456789abcdef")):
        folder = cache / "sources" / name
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            for source in Lake(lake).partitions(READ[0]):
                rows = (
                    Lake(lake).scan(READ[0], source).filter(pl.col("row_id").str.tail(1).is_in(list(digits))).select("messages").collect()
                )
                write_source(rows, partial / source)
                if name == "doubled":
                    write_source(altered(rows), partial / f"{source}_altered")
            partial.rename(folder)
        with copy_of(lake_of(folder, cache / "lakes" / name)) as copy:
            characters = rows_of(copy).select(conversation.whole().str.len_chars().sum()).collect().item()
            last = graph(f"ours: {name}, {characters / 1e6:,.0f} M characters", copy, last)


def write_source(rows: pl.DataFrame, folder: Path) -> None:
    """Rows as a source of JSON Lines, if there are any."""
    if rows.height:
        folder.mkdir(parents=True)
        rows.write_ndjson(folder / "rows.jsonl")


ALPHABETS = ("az", "AZ", "09", "αω", "ΑΩ", "ая", "АЯ", "بغ", "في", "कह", "কহ", "కహ", "את", "กฮ", "あん", "アン", "가힣", "一龥")
ALTERED = {
    first + i: first + (i + size // 2) % size for first, size in ((ord(a), ord(z) - ord(a) + 1) for a, z in ALPHABETS) for i in range(size)
}
"""Every letter, digit and ideogram, and the one that stands half an alphabet further on."""


def altered(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows in other letters: as alike among themselves as the rows are, and not like any of them."""
    turns = rows.with_row_index("row").explode("messages").unnest("messages")
    content = pl.Series("content", [text.translate(ALTERED) for text in turns["content"]], dtype=pl.String)
    return turns.with_columns(content).group_by("row", maintain_order=True).agg(pl.struct("role", "content").alias("messages")).drop("row")


def incremental(lake: Path, last: str) -> None:
    """Ours without one source, and what it costs to add it."""
    whole = Pool.load(lake)
    with copy_of(lake) as copy:
        base = graph("all at once", copy)
    with copy_of(lake) as copy:
        whole.model_copy(update={"only": tuple(name for name in whole.source_folders() if name != last)}).save(copy)
        graph(f"without {last}", copy, base)
        whole.save(copy)
        process("read", copy)
        graph(f"{last} added", copy, base)
        graph("nothing new", copy, base)


def truth(lake: Path) -> None:
    """The pairs that ours stores, against all pairs."""
    with copy_of(lake) as copy:
        process("ours", copy)
        stored = ordered(Lake(copy).scan(PAIRS).collect())
    for language in ("en", "zh"):
        rows = sample(lake, language)
        hashes = exact.fingerprint(rows)["content_hash"]
        a, b, similarity = true_pairs(rows.select(conversation.content_of("system", "user", "assistant").alias("text"))["text"])
        comparable = answers_alike(rows, a, b)
        columns = {"a": hashes.gather(a), "b": hashes.gather(b), "true": similarity, "comparable": comparable}
        true = ordered(pl.DataFrame(columns))
        here = stored.filter(pl.col("a").is_in(hashes.implode()), pl.col("b").is_in(hashes.implode()))
        both = true.join(here, on=["a", "b"])
        print(
            f"{language}: {rows.height:,} rows, {true.height:,} pairs of {THRESHOLD} and above; ours has {here.height:,} among these rows"
        )
        print(f"    recall of all {share(both.height, true.height)}; precision {share(both.height, here.height)}")
        counted = true.filter("comparable")
        for low in (0.7, 0.8, 0.9):
            band = counted.filter(pl.col("true").is_between(low, 2 if low == 0.9 else low + 0.1, closed="left"))
            print(f"    answers alike, from {low}: recall {share(band.join(here, on=['a', 'b']).height, band.height)}")
        print(f"    answers alike, all: recall {share(counted.join(here, on=['a', 'b']).height, counted.height)}")
        wrong = both.select((pl.col("true") - pl.col("similarity")).abs().max()).item()
        print(f"    largest error of a stored similarity: {wrong}", flush=True)


def share(part: int, whole: int) -> str:
    """For people to read."""
    return f"{part / whole:.4f} ({part:,} of {whole:,})" if whole else "of nothing"


def ordered(pairs: pl.DataFrame) -> pl.DataFrame:
    """Pairs with the smaller hash first."""
    return pairs.with_columns(pl.min_horizontal("a", "b").alias("a"), pl.max_horizontal("a", "b").alias("b"))


def sample(lake: Path, language: str) -> pl.DataFrame:
    """Distinct rows of a language, as evenly from all sources as they reach."""
    turn = pl.int_range(pl.len()).over("source")
    rows = rows_of(lake).filter(pl.col("language") == language).sort("source", "row_id").unique("row_id", maintain_order=True).collect()
    taken = rows.sort(turn, "source").head(2 * TRUTH_ROWS)
    return taken.with_columns(exact.fingerprint(taken)["content_hash"]).unique("content_hash", maintain_order=True).head(TRUTH_ROWS)


def shingle_matrix(texts: pl.Series) -> sparse.csr_array:
    """Texts by shingles, 1 where a text has one. The shingles are numbered, not hashed: no two share a number."""
    words = texts.to_frame("text").select(tokens(pl.col("text")))["text"]
    length = words.list.len().to_numpy().astype(np.int64)
    row = np.repeat(np.arange(len(length)), length)
    shingle = word = numbered(words.explode(empty_as_null=False).rank("dense").to_numpy())
    for step in range(1, SHINGLE):
        shingle = numbered(shingle[: len(word) - step] * (word.max(initial=0) + 1) + word[step:])
    starts = row[: len(shingle)]
    inside = starts == row[len(row) - len(shingle) :]
    places = starts[inside], shingle[inside]
    matrix = sparse.coo_array((np.ones(len(places[0]), np.int32), places), shape=(len(length), shingle.max(initial=0) + 1)).tocsr()
    matrix.data[:] = 1
    return matrix


def numbered(values: np.ndarray) -> np.ndarray:
    """Each value's number among the distinct values."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def true_pairs(texts: pl.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of the threshold and above, and their similarity."""
    matrix = shingle_matrix(texts)
    size, across, found = np.diff(matrix.indptr), matrix.T.tocsr(), []
    for first in range(0, len(texts), 500):
        common = (matrix[first : first + 500] @ across).tocoo()
        a, b = common.row.astype(np.int64) + first, common.col.astype(np.int64)
        similarity = common.data / (size[a] + size[b] - common.data)
        keep = (a < b) & (similarity >= THRESHOLD)
        found.append((a[keep], b[keep], similarity[keep]))
    a, b, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
    return a, b, similarity


def answers_alike(rows: pl.DataFrame, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether the answers of a pair are alike too; if one is shorter than a shingle, whether the rows have the same tokens; true without answers."""
    answer = rows.select(conversation.content_of("assistant").alias("text"))["text"]
    matrix = shingle_matrix(answer)
    size, common = np.diff(matrix.indptr), np.zeros(len(a), np.int64)
    for first in range(0, len(a), 50_000):
        part = slice(first, first + 50_000)
        common[part] = matrix[a[part]].multiply(matrix[b[part]]).sum(axis=1)
    content = conversation.content_of("system", "user", "assistant")
    same = rows.select(tokens(content).list.join(" ").rank("dense").alias("same"))["same"].to_numpy()
    none = answer.str.len_chars().to_numpy() == 0
    long = (size[a] > 0) & (size[b] > 0)
    either = np.where(long, common >= THRESHOLD * (size[a] + size[b] - common), same[a] == same[b])
    return either | (none[a] & none[b])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("figures", "peers", "linear", "incremental", "truth", *PROCESSES))
    parser.add_argument("folder", type=Path, help="folder whose subfolders are the sources")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir(), "deduplicate"), help="folder for what is made once")
    parser.add_argument("--peers-python", type=Path, help="the Python of the peers' environment")
    parser.add_argument("--last", default="codealpaca", help="the source that is added last")
    chosen = parser.parse_args(arguments)
    if chosen.what in PROCESSES:
        PROCESSES[chosen.what](chosen.folder)
        return
    if chosen.what == "peers" and chosen.peers_python is None:
        parser.error("peers wants --peers-python")
    lake = lake_of(chosen.folder.absolute(), chosen.cache / "lakes" / "all")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}"
    )
    if chosen.what == "figures":
        figures(lake)
    elif chosen.what == "peers":
        peers(lake, chosen.peers_python)
    elif chosen.what == "linear":
        linear(lake, chosen.cache)
    elif chosen.what == "incremental":
        incremental(lake, chosen.last)
    else:
        truth(lake)


if __name__ == "__main__":
    main()
