"""Which rows are near-duplicates of a better one, from their fingerprints alone.

Rows that share a band of their signatures (or are a given pair) form components; nothing outside a component matters to it. Within one, rows
are walked from the best down, and every row that is still there eliminates those after it whose similarity, computed on the shingles, reaches
the threshold. So every loser is directly similar to the survivor that it names, no two survivors that were compared are alike, and who
survives follows from the order of the rows, never from that of the work: components run in threads, and one that no new row belongs to need
not be looked at again.
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
    """int32: distinct shingles."""
    answered: np.ndarray
    """int32: of these, in answers."""
    shingles: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Of the rows that are asked for: the shingles one after another, and where each row's begin."""


class Losers(NamedTuple):
    """For every row: who eliminated it."""

    winner: np.ndarray
    """int32: the row, or -1 for a survivor."""
    similarity: np.ndarray
    """float32: of the two; 0 for a survivor."""
    given: np.ndarray
    """bool: whether it was a given pair that did it."""


SHINGLES_IN_MEMORY = 2**28
"""Of the rows that are compared at a time; four bytes each. A component that alone has more is taken whole."""

_PORTION = 2_000
"""Rows that a thread takes at a time, at least."""

NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def find_losers(
    signatures: Signatures,
    rule: Near,
    pairs: Pairs = NO_PAIRS,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Losers:
    """The rows that are eliminated by a better one.

    Args:
        signatures: Of the rows, from the best down.
        rule: Threshold, and what must be alike.
        pairs: Further pairs that are alike.
        workers: Threads.
        progress: Told how many rows of how many are decided.
    """
    from infinity_assets.dedup import comparing_kernels as kernels

    buckets, leader = _components(signatures.keys, signatures.signed, pairs, workers)
    rows = len(leader)
    winner, similarity, given = np.full(rows, -1, np.int32), np.zeros(rows, np.float32), np.zeros(rows, bool)
    members = np.flatnonzero(np.bincount(leader, minlength=rows)[leader] > 1) if rows else np.empty(0, np.int64)
    # In an order of their own, component by component, what is compared lies together in memory: several times as fast on large pools.
    members = members[np.argsort(leader[members], kind="stable")]
    number = np.full(rows, -1, np.int32)
    number[members] = np.arange(len(members), dtype=np.int32)
    orders = np.zeros((len(buckets), max(map(len, buckets), default=0)), np.int32)
    places = np.empty((len(buckets), len(members)), np.int32)
    for shared, order, where in zip(buckets, orders, places, strict=True):
        kernels.place(shared, number, order, where)
    sketches, sizes, answered = signatures.sketches[members], signatures.sizes[members], signatures.answered[members]
    given_pairs = _renumbered(pairs, number)
    pair_begins = np.searchsorted(given_pairs.left, np.arange(len(members) + 1))
    local_winner, score = np.full(len(members), -1, np.int32), np.zeros(len(members), np.float32)
    begins = np.zeros(len(members), np.int64)
    ends = (
        np.append(np.flatnonzero(np.diff(leader[members])) + 1, len(members)) if len(members) else np.empty(0, np.int64)
    )
    with ThreadPoolExecutor(workers) as threads:
        for batch in _batches(ends, sizes):
            low, high = batch[0][0], batch[-1][1]
            shingles, begins[low:high] = signatures.shingles(members[low:high])

            def work(component: tuple[int, int], shingles: np.ndarray = shingles) -> int:
                kernels.eliminate(
                    *component, orders, places, sketches, shingles, begins, sizes, answered, rule.threshold, rule.answers == "alike",
                    pair_begins, given_pairs.right, given_pairs.similarity, local_winner, score,
                )  # fmt: skip
                return component[1]

            for done in threads.map(work, sorted(_portions(batch), key=lambda portion: portion[0] - portion[1])):
                progress(done, len(members))
    lost = local_winner >= 0
    losers = members[lost]
    winner[losers], given[losers] = members[local_winner[lost]], score[lost] >= 2
    similarity[losers] = np.where(score[lost] >= 2, score[lost] - 2, score[lost])
    return Losers(winner, similarity, given)


def touched(keys: np.ndarray, signed: np.ndarray, fresh: np.ndarray, workers: int) -> np.ndarray:
    """Which rows are in a component with a fresh one: whether any other is eliminated does not depend on them.

    Args:
        keys: uint64, rows x bands.
        signed: bool, by row.
        fresh: bool, by row.
        workers: Threads.
    """
    _, leader = _components(keys, signed, NO_PAIRS, workers)
    reached = np.zeros(len(leader), bool)
    reached[leader[fresh]] = True
    return reached[leader]


def _components(
    keys: np.ndarray, signed: np.ndarray, pairs: Pairs, workers: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """For every band the rows that share a key (as `comparing_kernels.link` returns them), and for every row its component's lowest row."""
    from infinity_assets.dedup import comparing_kernels as kernels

    rows = np.flatnonzero(signed).astype(np.uint64)
    # The upper bits of a key and the row's number in one word: one sort of plain numbers, several times as fast as one of indices.
    bits = max(len(signed) - 1, 1).bit_length()
    bands = np.ascontiguousarray(keys[signed].T)

    def ordered(band: np.ndarray) -> np.ndarray:
        return np.sort(band >> np.uint64(bits) << np.uint64(bits) | rows)

    leader = np.arange(len(signed), dtype=np.int32)
    with ThreadPoolExecutor(workers) as threads:
        buckets = [kernels.link(found, bits, leader) for found in threads.map(ordered, bands)]
    kernels.join_all(leader, pairs.left, pairs.right)
    kernels.settle(leader)
    return buckets, leader


def _renumbered(pairs: Pairs, number: np.ndarray) -> Pairs:
    """The pairs by other numbers of their rows."""
    left, right = number[pairs.left].astype(np.int64), number[pairs.right].astype(np.int64)
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], pairs.similarity[order])


def _batches(ends: np.ndarray, sizes: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """The components (first row, end), as many at a time as have their shingles in memory together."""
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
    """Neighbouring components put together, so that a thread is not called for two rows."""
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
