"""Near-duplicates, found by fingerprints alone: the rows that a better, similar row eliminates.

Rows that share a band of their signatures (or are a given pair) form components, and a component depends on nothing
outside it. Rows of a component are walked from the best down, and every row that is still in eliminates the later rows
whose similarity, computed on the shingles, reaches the threshold. So every loser is directly similar to the survivor
that it names, and no two survivors that were compared are alike. The survivors follow from the order of the rows, never
from the order of the work: components run in threads, and a component without a new row need not be computed again.
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
    """The signatures of rows, numbered from the best down."""

    keys: np.ndarray
    """uint64, rows x bands."""
    signed: np.ndarray
    """bool: whether the row has keys."""
    sketches: np.ndarray
    """uint64, rows x words."""
    sizes: np.ndarray
    """int32: number of distinct shingles."""
    answered: np.ndarray
    """int32: number of distinct shingles that stand in answers."""
    shingles: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Return the shingles of the given rows, one row after another, and the place at which each row begins."""


class Losers(NamedTuple):
    """The row that eliminated each row."""

    winner: np.ndarray
    """int32: the winning row, or -1 for a survivor."""
    similarity: np.ndarray
    """float32: similarity of the two rows; 0 for a survivor."""
    given: np.ndarray
    """bool: whether a given pair eliminated the row."""


SHINGLES_IN_MEMORY = 2**28
"""Shingles of the rows compared at a time; four bytes each. A single component with more is compared as a whole."""

_PORTION = 2_000
"""Fewest rows that a thread takes at a time."""

NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def find_losers(
    signatures: Signatures,
    rule: Near,
    pairs: Pairs = NO_PAIRS,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Losers:
    """Return the rows that a better row eliminates.

    Args:
        signatures: Signatures of the rows, from the best down.
        rule: The threshold, and the parts of a row that must be alike.
        pairs: Further pairs of rows that are alike.
        workers, progress: Threads, and a function called with the number of rows decided and their total.
    """
    from infinity_assets.dedup import comparing_kernels as kernels

    buckets, leader = _components(signatures.keys, signatures.signed, pairs, workers)
    rows = len(leader)
    winner = np.full(rows, -1, np.int32)
    similarity = np.zeros(rows, np.float32)
    given = np.zeros(rows, bool)
    members = np.flatnonzero(np.bincount(leader, minlength=rows)[leader] > 1)
    # Ordered by component, rows that are compared lie together in memory: several times as fast on large pools.
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
    """Return a mask of the rows in a component with a fresh row. The fresh rows cannot affect any other row.

    `keys` is uint64, rows x bands; `signed` and `fresh` are bool, by row.
    """
    _, leader = _components(keys, signed, NO_PAIRS, workers)
    affected = np.zeros(len(leader), bool)
    affected[leader[fresh]] = True
    return affected[leader]


def _components(
    keys: np.ndarray, signed: np.ndarray, pairs: Pairs, workers: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return, by band, the rows that share a key (from `link`), and the lowest row of each row's component."""
    from infinity_assets.dedup import comparing_kernels as kernels

    rows = np.flatnonzero(signed).astype(np.uint64)
    # A word holds the upper bits of a key and the row number: one sort of plain numbers is several times as fast as
    # one of indices.
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
    """Return the pairs with other numbers for their rows."""
    left, right = number[pairs.left].astype(np.int64), number[pairs.right].astype(np.int64)
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], pairs.similarity[order])


def _batches(ends: np.ndarray, sizes: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Yield components (first row, end), as many at a time as fit in memory with their shingles."""
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
    """Merge neighboring components, so that a thread is not called for two rows."""
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
