"""Compiled loops (numba) that compare rows by their signatures.

Import this module inside the calling function, because numba takes most of a second to load. All loops release the GIL.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def link(ordered, bits, leader):
    """Merge the union-find components of rows that share a key of one band, and return these rows.

    Args:
        ordered: uint64, ascending. The upper bits are those of a key; the lower `bits` are the row.
        bits: Number of bits of the row.
        leader: int32, updated: the union-find structure over rows, in which the lowest row of a component leads it.

    Returns:
        int32: The rows of every bucket (rows with the same key) of two or more rows, one bucket after another. Rows
        ascend within a bucket, and `~row` stands for the last row of a bucket.
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
    """Translate the buckets of one band (from `link`) to new row numbers.

    Args:
        shared, number: The buckets, and the new number of each row (int32), negative for a row that is left out. The
            new numbers keep the order of the rows within a component.
        order, places: int32, outputs: `shared` in new numbers, and the index of each new row in it, or -1.
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
    """Merge the union-find components of two rows; the lowest row of a component leads it."""
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
    """Merge the union-find components of the two rows of every pair."""
    for pair in range(len(first)):
        join(leader, first[pair], second[pair])


@njit(nogil=True, cache=True)
def settle(leader):
    """Point every row directly at the leader of its component."""
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
    """Return the Jaccard similarity of two sets of shingles; -1 if it, or (if required) the answers', is too low."""
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
    first, last, orders, places, sketches, shingles, begins, sizes, answered, threshold, answers_alike, pair_begins,
    partners, scores, winner, score,
):  # fmt: skip
    """Eliminate near-duplicates: from the best row to the worst, each survivor eliminates all later rows like it.

    Two rows are alike if they share a band key and have similar shingles, or if they are a given pair. The survivors
    are the lexicographically first maximal independent set of this relation: only the relation and the order decide.

    Args:
        first, last: Range of rows. It consists of whole connected components (rows linked by band keys or given
            pairs), each sorted from its best row to its worst.
        orders, places: int32, by band: the buckets (rows that share a key) and each row's index in them, from `place`.
            Updated: eliminated rows are removed from the buckets.
        sketches, shingles, begins, sizes, answered: Arrays from `sign`. Row i has `sizes[i]` shingles, the first at
            `begins[i]`.
        threshold: Minimum Jaccard similarity.
        answers_alike: Whether the similarity of the answers must reach the threshold, too.
        pair_begins, partners, scores: Given pairs: index of each row's first partner; the partners, all after their
            row; their similarities.
        winner, score: Outputs: the row that eliminates each row, or -1; their similarity, plus 2 for a given pair.
    """
    bands, words = len(orders), sketches.shape[1]
    seen = np.full(last - first, -1, np.int32)
    share = threshold / (1 + threshold)
    for row in range(first, last):
        if winner[row] >= 0:
            continue
        for band in range(bands):
            entry = places[band, row]
            if entry < 0:
                continue
            order = orders[band]
            kept = entry
            ended = order[entry] < 0
            while not ended:
                entry += 1
                ended = order[entry] < 0
                other = ~order[entry] if ended else order[entry]
                if winner[other] >= 0:
                    continue
                kept += 1
                if kept < entry:
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
                # Each bit that differs stands for at least one shingle that only one of the two rows has.
                if (total - np.int64(differ)) * 0.5 < need:
                    continue
                mine = shingles[begins[row] : begins[row] + sizes[row]]
                theirs = shingles[begins[other] : begins[other] + sizes[other]]
                jaccard = similarity(mine, theirs, threshold, answers_alike, answered[row], answered[other])
                if jaccard >= 0:
                    winner[other] = row
                    score[other] = jaccard
            if order[kept] >= 0:
                order[kept] = ~order[kept]
        for pair in range(pair_begins[row], pair_begins[row + 1]):
            other = partners[pair]
            if winner[other] < 0:
                winner[other] = row
                score[other] = scores[pair] + np.float32(2)


@njit(nogil=True, cache=True)
def similarities(one, one_begins, other, other_begins, left, right, threshold, result):
    """Fill `result` (float32) with the Jaccard similarity of each pair of rows, or -1 if it is below the threshold.

    Args:
        one, one_begins: All shingles of the first table, and the index of each row's first (rows + 1 entries).
        other, other_begins: The shingles of the second table, in the same form.
        left, right: The row of each pair in the first table, and in the second.
    """
    for pair in range(len(left)):
        i, j = left[pair], right[pair]
        mine, theirs = one[one_begins[i] : one_begins[i + 1]], other[other_begins[j] : other_begins[j + 1]]
        result[pair] = similarity(mine, theirs, threshold, False, 0, 0)
