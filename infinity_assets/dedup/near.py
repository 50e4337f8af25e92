"""Near-duplicates by fingerprints: the rows that a better, similar row eliminates.

Rows that share a key of their signatures (or are a given pair) are connected, and form components that do not affect
each other. Within a component, rows are visited from the best to the worst. Every survivor eliminates the later rows
that share a key with it and whose Jaccard similarity to it reaches the threshold. So every loser is directly similar to
the survivor that it names, and no two survivors that were compared are similar. Components may be computed in any order
and by several threads, and a component without a new row keeps its result.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infinity_assets.dedup.close_pairs import Pairs
from infinity_assets.settings import Near


@dataclass(frozen=True)
class Signatures:
    """The signatures of rows, the best row first."""

    keys: np.ndarray
    """uint64, shape (rows, bands)."""
    signed: np.ndarray
    """bool: whether the row has keys."""
    sketches: np.ndarray
    """uint64, shape (rows, words)."""
    sizes: np.ndarray
    """int32: number of distinct shingles of each row."""
    answered: np.ndarray
    """int32: number of these shingles that occur in answers."""
    shingles: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Function that returns the shingles of the given rows in one array, and the index of each row's first shingle."""


class Losers(NamedTuple):
    """The outcome for every row."""

    winner: np.ndarray
    """int32: the row that eliminated it, or -1 for a survivor."""
    similarity: np.ndarray
    """float32: similarity of the row to its winner; 0 for a survivor."""
    given: np.ndarray
    """bool: whether the row and its winner are a given pair."""


SHINGLES_IN_MEMORY = 2**28
"""Maximum number of shingles in memory, of four bytes each. A single component with more is loaded as a whole."""

_PORTION = 2_000
"""Number of rows below which neighboring components are merged into one portion of work."""

NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def find_losers(
    signatures: Signatures,
    rule: Near,
    pairs: Pairs = NO_PAIRS,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Losers:
    """Find the rows that a better row eliminates.

    Args:
        signatures: Signatures of the rows, the best row first.
        rule: The threshold, and whether the answers must be alike, too.
        pairs: Given pairs: rows that are alike whatever their signatures.
        workers: Number of threads.
        progress: Called with the end of each finished portion of rows, and the number of rows that are compared.
    """
    from infinity_assets.dedup import comparing_kernels as kernels

    buckets, leader = _components(signatures.keys, signatures.signed, pairs, workers)
    rows = len(leader)
    winner = np.full(rows, -1, np.int32)
    similarity = np.zeros(rows, np.float32)
    given = np.zeros(rows, bool)
    members = np.flatnonzero(np.bincount(leader, minlength=rows)[leader] > 1)
    # Sorting by component puts rows that are compared side by side in memory: several times as fast on large pools.
    members = members[np.argsort(leader[members], kind="stable")]
    number = np.full(rows, -1, np.int32)
    number[members] = np.arange(len(members), dtype=np.int32)
    orders = np.zeros((len(buckets), max(map(len, buckets), default=0)), np.int32)
    places = np.empty((len(buckets), len(members)), np.int32)
    for shared, order, where in zip(buckets, orders, places, strict=True):
        kernels.place(shared, number, order, where)
    sketches, sizes, answered = signatures.sketches[members], signatures.sizes[members], signatures.answered[members]
    given_pairs = _renumber(pairs, number)
    pair_begins = np.searchsorted(given_pairs.left, np.arange(len(members) + 1))
    local_winner, score = np.full(len(members), -1, np.int32), np.zeros(len(members), np.float32)
    begins = np.zeros(len(members), np.int64)
    ends = np.flatnonzero(np.diff(leader[members], append=-1)) + 1
    with ThreadPoolExecutor(workers) as threads:
        for batch in _batches(ends, sizes):
            low, high = batch[0][0], batch[-1][1]
            shingles, begins[low:high] = signatures.shingles(members[low:high])

            def work(component: tuple[int, int], shingles: np.ndarray = shingles) -> int:
                kernels.eliminate(
                    *component, orders, places, sketches, shingles, begins, sizes, answered, rule.threshold,
                    rule.answers == "alike", pair_begins, given_pairs.right, given_pairs.similarity,
                    local_winner, score,
                )  # fmt: skip
                return component[1]

            for done in threads.map(work, sorted(_portions(batch), key=lambda portion: portion[0] - portion[1])):
                progress(done, len(members))
    lost = local_winner >= 0
    losers = members[lost]
    winner[losers], given[losers] = members[local_winner[lost]], score[lost] >= 2
    similarity[losers] = np.where(score[lost] >= 2, score[lost] - 2, score[lost])
    return Losers(winner, similarity, given)


def rows_affected_by(keys: np.ndarray, signed: np.ndarray, fresh: np.ndarray, workers: int) -> np.ndarray:
    """Return a mask of the rows that fresh rows can affect: those whose component contains a fresh row.

    `keys` is uint64, shape (rows, bands); `signed` and `fresh` are masks of the rows.
    """
    _, leader = _components(keys, signed, NO_PAIRS, workers)
    affected = np.zeros(len(leader), bool)
    affected[leader[fresh]] = True
    return affected[leader]


def _components(
    keys: np.ndarray, signed: np.ndarray, pairs: Pairs, workers: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the rows that share a key, by band (from `link`), and the lowest row of each row's component."""
    from infinity_assets.dedup import comparing_kernels as kernels

    rows = np.flatnonzero(signed).astype(np.uint64)
    # Each word holds the upper bits of a key and the row: numbers sort several times as fast as indices.
    bits = max(len(signed) - 1, 1).bit_length()
    bands = np.ascontiguousarray(keys[signed].T)

    def sort_rows(band: np.ndarray) -> np.ndarray:
        return np.sort(band >> np.uint64(bits) << np.uint64(bits) | rows)

    leader = np.arange(len(signed), dtype=np.int32)
    with ThreadPoolExecutor(workers) as threads:
        buckets = [kernels.link(entries, bits, leader) for entries in threads.map(sort_rows, bands)]
    kernels.join_all(leader, pairs.left, pairs.right)
    kernels.settle(leader)
    return buckets, leader


def _renumber(pairs: Pairs, number: np.ndarray) -> Pairs:
    """Return the pairs with the new numbers of their rows, sorted."""
    left, right = number[pairs.left].astype(np.int64), number[pairs.right].astype(np.int64)
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], pairs.similarity[order])


def _batches(ends: np.ndarray, sizes: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Yield lists of components (first row, end). Each list has as many as `SHINGLES_IN_MEMORY` allows."""
    held = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    batch, begin = [], 0
    for end in ends.tolist():
        if batch and held[end] - held[batch[0][0]] > SHINGLES_IN_MEMORY:
            yield batch
            batch = []
        batch.append((begin, end))
        begin = end
    if batch:
        yield batch


def _portions(components: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge neighboring small components, so that a thread does not start for a few rows."""
    portions = []
    first = components[0][0]
    for begin, end in components:
        if end - first >= _PORTION:
            if begin > first:
                portions.append((first, begin))
            portions.append((begin, end))
            first = end
    if components[-1][1] > first:
        portions.append((first, components[-1][1]))
    return portions
