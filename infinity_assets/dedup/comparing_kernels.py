"""Compiled loops that compare rows by their signatures (numba).

Imported where they are called: numba takes most of a second. All release the GIL.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def link(ordered, bits, leader):
    """Join the components of rows that share a key of one band.

    Args:
        ordered: uint64, ascending: a key's upper bits, then the row in the lower `bits`.
        bits: Bits of the row.
        leader: int32, union-find over rows, updated: a component's lowest row leads it.

    Returns:
        The rows that share a key, bucket by bucket, ascending within one; the last row of a bucket as its complement (int32).
    """
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    shared = np.empty(len(ordered), np.int32)
    n, begin = 0, 0
    while begin < len(ordered):
        key = ordered[begin] >> np.uint64(bits)
        stop = begin + 1
        first = np.int64(ordered[begin] & mask)
        while stop < len(ordered) and ordered[stop] >> np.uint64(bits) == key:
            join(leader, first, np.int64(ordered[stop] & mask))
            stop += 1
        if stop - begin > 1:
            for i in range(begin, stop):
                shared[n] = np.int32(ordered[i] & mask)
                n += 1
            shared[n - 1] = ~shared[n - 1]
        begin = stop
    return shared[:n].copy()


@njit(nogil=True, cache=True)
def place(shared, number, order, places):
    """The buckets of one band in another numbering of the rows.

    Args:
        shared: As `link` returns it.
        number: int32: a row's new number; ascending as the old ones within a component. Negative for rows that are left out.
        order: int32, filled from its beginning: as `shared`, in new numbers.
        places: int32, filled: where in `order` a row stands, or -1.
    """
    places[:] = -1
    for i in range(len(shared)):
        last = shared[i] < 0
        row = number[~shared[i] if last else shared[i]]
        order[i] = ~row if last else row
        if row >= 0:
            places[row] = i


@njit(nogil=True, cache=True)
def join(leader, one, other):
    """Make the components of two rows one."""
    while leader[one] != one:
        leader[one] = leader[leader[one]]
        one = leader[one]
    while leader[other] != other:
        leader[other] = leader[leader[other]]
        other = leader[other]
    if one < other:
        leader[other] = one
    else:
        leader[one] = other


@njit(nogil=True, cache=True)
def join_all(leader, first, second):
    """Make the components of every pair one."""
    for pair in range(len(first)):
        join(leader, first[pair], second[pair])


@njit(nogil=True, cache=True)
def settle(leader):
    """Let every row point at its component's leader itself."""
    for row in range(len(leader)):
        leader[row] = leader[leader[row]]


@njit(nogil=True, cache=True, inline="always")
def _ones(word):
    word = word - (word >> np.uint64(1) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (word >> np.uint64(2) & np.uint64(0x3333333333333333))
    word = word + (word >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return word * np.uint64(0x0101010101010101) >> np.uint64(56)


@njit(nogil=True, cache=True)
def similarity(one, other, threshold, answers_alike, answered_one, answered_other):
    """The Jaccard similarity of two sets of shingles, or -1 if it, or that of their answers' shingles, is below the threshold."""
    both, both_answers = 0, 0
    total = len(one) + len(other)
    need = threshold / (1 + threshold) * total - 1e-9
    i, j = 0, 0
    while i < len(one) and j < len(other):
        if both + min(len(one) - i, len(other) - j) < need:
            return np.float32(-1)
        x, y = one[i], other[j]
        if x >> 1 == y >> 1:
            both += 1
            both_answers += x & y & 1
            i += 1
            j += 1
        elif x < y:
            i += 1
        else:
            j += 1
    if both < need:
        return np.float32(-1)
    if answers_alike and both_answers < threshold / (1 + threshold) * (answered_one + answered_other) - 1e-9:
        return np.float32(-1)
    return np.float32(both / (total - both))


@njit(nogil=True, cache=True)
def eliminate(
    first,
    last,
    orders,
    places,
    sketches,
    shingles,
    begins,
    sizes,
    answered,
    threshold,
    answers_alike,
    pair_begins,
    partners,
    scores,
    winner,
    score,
):
    """Within components: walk the rows from the best down; each that is still there eliminates every row after it that is alike.

    Two rows are alike if they share a key and their shingles are similar, or if they are a pair that is given. The survivors are the
    lexicographically first maximal independent set of that relation: they follow from it and the order alone.

    Args:
        first, last: The rows from `first` up to `last`: whole components, each from its best row down.
        orders, places: int32, one line per band, as `place` fills them. Eliminated rows are taken out of the buckets of these components.
        sketches, shingles, begins, sizes, answered: As `sign` makes them; the shingles of row i are `sizes[i]` from `begins[i]`.
        threshold: Lowest Jaccard similarity.
        answers_alike: Whether the answers have to be as similar.
        pair_begins, partners, scores: Given pairs: the partners of row i, all after it, and their similarity.
        winner: int32, filled: the row that eliminated it, or -1.
        score: float32, filled: their similarity; given pairs add 2.
    """
    bands, words = len(orders), sketches.shape[1]
    seen = np.full(last - first, -1, np.int32)
    share = threshold / (1 + threshold)
    for row in range(first, last):
        if winner[row] >= 0:
            continue
        for band in range(bands):
            here = places[band, row]
            if here < 0:
                continue
            order = orders[band]
            kept, ended = here, order[here] < 0
            while not ended:
                here += 1
                ended = order[here] < 0
                other = ~order[here] if ended else order[here]
                if winner[other] >= 0:
                    continue
                kept += 1
                if kept < here:
                    order[kept] = other
                    places[band, other] = kept
                if seen[other - first] == row:
                    continue
                seen[other - first] = row
                total = sizes[row] + sizes[other]
                need = share * total - 1e-9
                if min(sizes[row], sizes[other]) < need:
                    continue
                differ = np.uint64(0)
                for word in range(words):
                    differ += _ones(sketches[row, word] ^ sketches[other, word])
                # Each bit that differs stands for a shingle, at least, that only one of them has.
                if (total - np.int64(differ)) * 0.5 < need:
                    continue
                found = similarity(
                    shingles[begins[row] : begins[row] + sizes[row]],
                    shingles[begins[other] : begins[other] + sizes[other]],
                    threshold,
                    answers_alike,
                    answered[row],
                    answered[other],
                )
                if found >= 0:
                    winner[other], score[other] = row, found
            if order[kept] >= 0:
                order[kept] = ~order[kept]
        for pair in range(pair_begins[row], pair_begins[row + 1]):
            other = partners[pair]
            if winner[other] < 0:
                winner[other], score[other] = row, scores[pair] + np.float32(2)


@njit(nogil=True, cache=True)
def similarities(one, one_begins, other, other_begins, left, right, threshold, found):
    """The Jaccard similarity of pairs of rows of two tables.

    Args:
        one, one_begins: The shingles of the first table's rows one after another, and where each row's begin; one more than there are rows.
        other, other_begins: Of the second table, likewise.
        left, right: A row of the first and one of the second, by pair.
        threshold: Lowest similarity that is computed.
        found: float32, filled: the similarity, or -1 below the threshold.
    """
    for pair in range(len(left)):
        i, j = left[pair], right[pair]
        mine, theirs = one[one_begins[i] : one_begins[i + 1]], other[other_begins[j] : other_begins[j + 1]]
        found[pair] = similarity(mine, theirs, threshold, False, 0, 0)
