"""The truth about near-duplicates: Jaccard similarities of all pairs of rows, and the rows that an exact rule drops.

The similarities follow the product's definition (docs/deduplication.md) but not its compiled loops: they come from
products of sparse matrices over all pairs, and shingles are numbered instead of hashed.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from infinity_assets.dedup.duplicates import find_duplicates
from infinity_assets.dedup.fingerprints import PLACE, compute_content_hashes, fingerprint
from infinity_assets.rows.character_classes import SYMBOLS
from infinity_assets.rows.text import tokens
from infinity_assets.settings import Near, Settings

MODES = ("any", "alike")
"""Values of `dedup.near.answers`."""

THRESHOLDS = (0.75, 0.8, 0.9)
"""Thresholds besides the configured one. Recall is printed for the pairs between neighboring thresholds."""

BATCH = 10_000
"""Rows that are signed at a time."""


class Sets(NamedTuple):
    """Rows as sets of shingles of the user and assistant turns, each turn by itself."""

    whole: sparse.csr_array
    """Matrix of rows by shingles, 1 if the row has the shingle."""
    answers: sparse.csr_array
    """Matrix like `whole` for the assistant's turns alone."""
    answered: np.ndarray
    """bool: whether the row has an assistant turn."""
    prompts: np.ndarray
    """int64: equal for rows whose user turns have the same numbers and symbols, and the same tokens or a shingle."""


class TruePairs(NamedTuple):
    """All pairs of similar rows, with first < second, ascending by the first."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    """Jaccard similarity of the rows."""
    answers: np.ndarray
    """Jaccard similarity of the answers: 1 if neither row has an answer, 0 if their prompts differ in numbers or
    symbols, or differ and are too short for a shingle."""

    def taken(self, which: np.ndarray) -> "TruePairs":
        """Return the selected pairs."""
        return TruePairs(*(column[which] for column in self))


def truth(pool: pl.LazyFrame, count: int) -> None:
    """Print how many of all true pairs the product finds."""
    rule = Settings().dedup
    for language in ("en", "zh"):
        rows = sample(pool, language, count)
        sets = sets_of(rows, rule.near.shingle)
        pairs = true_pairs(sets, rule.near.threshold)
        print(f"{language}: {rows.height:,} rows, {len(pairs.first):,} pairs of {rule.near.threshold} and above")
        for mode in MODES:
            near = rule.near.model_copy(update={"answers": mode})
            prints = pl.concat([fingerprint(part, near) for part in rows.iter_slices(BATCH)])
            parts = {str(name): part.lazy() for (name,), part in prints.partition_by("source", as_dict=True).items()}
            # The order is by row id alone, like that of the sample.
            by_row_id = rule.model_copy(update={"near": near, "source_priority": (), "score": None})
            losers = find_duplicates(parts, by_row_id)
            wanted = pairs if mode == "any" else pairs.taken(pairs.answers >= near.threshold)
            print(f"  answers {mode}: {len(wanted.first):,} pairs")
            recall(prints, wanted, near.threshold)
            precision(rows["row_id"], sets, losers, near)
            expected = greedy(wanted, rows.height)
            lost = rows["row_id"].is_in(losers["row_id"].implode()).to_numpy()
            found = share(int((expected & lost).sum()), int(expected.sum()))
            print(f"    rows that the exact rule eliminates: ours has {found}", end="; ")
            print(f"ours eliminates {int(lost.sum()):,}", flush=True)


def sample(pool: pl.LazyFrame, language: str, count: int) -> pl.DataFrame:
    """Return distinct rows of a language, as evenly as possible from all sources, sorted by row id."""
    of_language = pool.filter(pl.col("language") == language)
    light = of_language.select("row_id", *PLACE).collect().sort("row_id", *PLACE)
    light = light.unique("row_id", keep="first", maintain_order=True)
    # Twice as many, because some have the same content in another spelling.
    turn = pl.int_range(pl.len()).over("source")
    chosen = light.sort(turn, "source").head(2 * count).with_row_index("turn")
    rows = of_language.join(chosen.lazy(), on=["row_id", *PLACE]).collect().sort("turn")
    rows = rows.unique("row_id", keep="first", maintain_order=True)
    hashed = rows.with_columns(pl.concat([compute_content_hashes(part) for part in rows.iter_slices(BATCH)]))
    return hashed.unique("content_hash", keep="first", maintain_order=True).head(count).sort("row_id")


def recall(prints: pl.DataFrame, pairs: TruePairs, threshold: float) -> None:
    """Print how many pairs share a key and so are compared, in total, by similarity, and by source of the first row."""
    keys, signed = prints["keys"].to_numpy(), prints["signed"].to_numpy()
    found = np.zeros(len(pairs.first), bool)
    for block in blocks(len(found), 500_000):
        first, second = pairs.first[block], pairs.second[block]
        for band in keys.T:
            found[block] |= band[first] == band[second]
        found[block] &= signed[first] & signed[second]
    print(f"    recall {share(int(found.sum()), len(found))}")
    edges = [threshold, *(edge for edge in THRESHOLDS if edge > threshold), np.inf]
    for low, high in pairwise(edges):
        band = (pairs.similarity >= low) & (pairs.similarity < high)
        print(f"        {low:.2f} to {min(high, 1):.2f}: {share(int(found[band].sum()), int(band.sum()))}")
    frame = pl.DataFrame({"source": prints["source"].gather(pairs.first), "found": found})
    by_source = frame.group_by("source").agg(pl.sum("found"), pl.len())
    for source, compared, true in by_source.sort("len", "source", descending=[True, False]).head(5).iter_rows():
        print(f"        {source}: {share(compared, true)}")


def precision(row_ids: pl.Series, sets: Sets, losers: pl.DataFrame, near: Near) -> None:
    """Print how many near losers are truly similar to the matched row, and the error of the stored similarities."""
    number = {row_id: place for place, row_id in enumerate(row_ids)}
    own = losers.filter(pl.col("method") == "near")
    first, second = (np.array([number[row_id] for row_id in own[name]], np.int64) for name in ("row_id", "matched"))
    true = jaccard(sets.whole, first, second)
    right = true >= near.threshold
    if near.answers == "alike":
        right &= similarity_of_answers(sets, first, second) >= near.threshold
    error = np.abs(true - own["similarity"].to_numpy()).max(initial=0)
    print(
        f"    precision {share(int(right.sum()), len(right))}; largest error of a stored similarity {error:.1e}",
        end="; ",
    )
    print(f"losers not near: {losers.height - own.height}")


def share(part: int, whole: int) -> str:
    """Format a share for display."""
    return f"{part / whole:.4f} ({part:,} of {whole:,})" if whole else "of nothing"


def sets_of(rows: pl.DataFrame, width: int) -> Sets:
    """Return the shingles of rows; `width` is their number of tokens."""
    turns = rows.select("messages").with_row_index("row").explode("messages").unnest("messages")
    turns = turns.filter(pl.col("role") != "system")
    facts = pl.col("content").str.normalize("NFKC").str.extract_all(rf"\p{{N}}+|{SYMBOLS}")
    turns = turns.select("row", "role", tokens=tokens(pl.col("content")), facts=facts)
    answered = np.zeros(rows.height, bool)
    replies = turns.filter(pl.col("role") == "assistant")
    answered[replies["row"].to_numpy()] = True
    requests = (
        turns.filter(pl.col("role") == "user")
        .group_by("row")
        .agg(
            (pl.col("tokens").list.len().max() >= width).alias("long"),
            pl.col("tokens", "facts").list.join(" ").str.join(" ").str.replace_all(" +", " ").str.strip_chars(),
        )
    )
    numbered_rows = rows.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
    prompts = numbered_rows.join(requests, on="row", how="left", maintain_order="left")
    short = pl.when("long").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("short "), pl.col("tokens").fill_null("")))
    prompt = pl.concat_str(pl.col("facts").fill_null(""), short, separator="\n").rank("dense")
    numbers = prompts.select(prompt.cast(pl.Int64)).to_series().to_numpy()
    whole, answers = (shingle_matrix(part, rows.height, width) for part in (turns, replies))
    return Sets(whole, answers, answered, numbers)


def true_pairs(sets: Sets, threshold: float) -> TruePairs:
    """Return all pairs at or above a threshold. Blocks of rows are multiplied with the rows after them."""
    size = np.diff(sets.whole.indptr).astype(np.int64)
    shared: Any = sets.whole[:, np.flatnonzero(np.bincount(sets.whole.indices) > 1)]
    found = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))]
    for block in blocks(len(size), 250):
        common = (shared[block] @ shared[block.start :].T.tocsr()).tocoo()
        first, second = (axis.astype(np.int32) + np.int32(block.start) for axis in (common.row, common.col))
        similarity = common.data / (size[first] + size[second] - common.data)
        keep = (first < second) & (similarity >= threshold)
        found.append((first[keep], second[keep], similarity[keep]))
    first, second, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((second, first))
    first, second, similarity = first[order], second[order], similarity[order]
    return TruePairs(first, second, similarity, similarity_of_answers(sets, first, second))


def similarity_of_answers(sets: Sets, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity of the answers of pairs of rows.

    It is 1 if neither row has an answer, and 0 if numbers, symbols or short prompts differ.
    """
    of_answers = np.where(sets.answered[first] | sets.answered[second], jaccard(sets.answers, first, second), 1)
    return of_answers * (sets.prompts[first] == sets.prompts[second])


def greedy(pairs: TruePairs, rows: int) -> np.ndarray:
    """Return the rows that the exact rule drops: every remaining row drops all later rows that it makes a pair with."""
    lost, begins = np.zeros(rows, bool), np.searchsorted(pairs.first, np.arange(rows + 1))
    for row in range(rows):
        if not lost[row]:
            lost[pairs.second[begins[row] : begins[row + 1]]] = True
    return lost


def shingle_matrix(turns: pl.DataFrame, rows: int, width: int) -> sparse.csr_array:
    """Return a matrix of rows by shingles, 1 if a turn has the shingle. Shingles are numbered, so none collide."""
    length = turns["tokens"].list.len().to_numpy().astype(np.int64)
    turn = np.repeat(np.arange(len(length)), length)
    shingle = word = numbered(turns["tokens"].explode(empty_as_null=False).rank("dense").to_numpy())
    for step in range(1, width):
        shingle = numbered(shingle[: len(word) - step] * (word.max(initial=0) + 1) + word[step:])
    begins = turn[: len(shingle)]
    inside = begins == turn[len(turn) - len(shingle) :]
    places = turns["row"].to_numpy()[begins[inside]], shingle[inside]
    shape = rows, shingle.max(initial=0) + 1
    matrix = sparse.coo_array((np.ones(len(places[0]), np.int32), places), shape=shape).tocsr()
    matrix.data[:] = 1
    return matrix


def numbered(values: np.ndarray) -> np.ndarray:
    """Return the number of each value among the distinct values."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def jaccard(matrix: sparse.csr_array, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity of pairs of rows; 0 if neither has a shingle."""
    size, common = np.diff(matrix.indptr).astype(np.int64), np.zeros(len(first), np.int64)
    for block in blocks(len(first), 20_000):
        part: Any = matrix[first[block]]
        common[block] = part.multiply(matrix[second[block]]).sum(axis=1)
    return common / np.maximum(1, size[first] + size[second] - common)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size`."""
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))
