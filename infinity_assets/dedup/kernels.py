"""Compiled loops of de-duplication (numba). Imported where they are called: numba takes most of a second. All release the GIL."""

import numpy as np
from numba import njit

from infinity_assets.rows.token_hashes import NUMBER, SPACE, SYMBOL
from infinity_assets.rows.token_kernels import decode, mixed

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it vanishes modulo 2^64
_SYSTEM, _ANSWER = 0, 2
"""Turns as `fingerprints.ROLES` numbers them."""


_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)  # of MurmurHash3, as are the rotations below
_TURN = np.uint64(1) << np.uint64(32)


@njit(nogil=True, cache=True, inline="always")
def _rotated(value, bits):
    return value << np.uint64(bits) | value >> np.uint64(64 - bits)


@njit(nogil=True, cache=True, inline="always")
def _absorbed(low, high, word):
    """A 128-bit state with a word mixed in: two lanes, each with a bijection of its own."""
    low = _rotated(low ^ _rotated(word * _C1, 31) * _C2, 27) * np.uint64(5) + np.uint64(0x52DCE729)
    return low, _rotated(high ^ _rotated(word * _C2, 33) * _C1, 31) * np.uint64(5) + np.uint64(0x38495AB5)


@njit(nogil=True, cache=True)
def _absorbed_text(low, high, data, begin, stop, classes, lower):
    """A state with the normal form of a text mixed in, three code points of 21 bits to a word."""
    word, held = np.uint64(0), 0
    began, gap = False, False
    p = begin
    while p < stop:
        code, size = decode(data, p)
        p += size
        if classes[code] == SPACE:
            gap = began
            continue
        if gap:
            word = word << np.uint64(21) | np.uint64(32)
            held += 1
            if held == 3:
                low, high = _absorbed(low, high, word)
                word, held = np.uint64(0), 0
        word = word << np.uint64(21) | np.uint64(lower[code])
        held += 1
        if held == 3:
            low, high = _absorbed(low, high, word)
            word, held = np.uint64(0), 0
        began, gap = True, False
    return _absorbed(low, high, word << np.uint64(2) | np.uint64(held))


@njit(nogil=True, cache=True)
def hash_contents(data, where, classes, lower, row_turns, roles):
    """128-bit hashes of the normalised turns of every row: of all of them, and of those that are no answer.

    What is hashed is, for every turn, its role and the code points of its text in lower case, runs of white space made one space and none at
    either end (`rows.text.normalised`, of a text in NFKC). Not cryptographic: two lanes of MurmurHash3's mixing.

    Returns:
        uint64, rows x (content, prompt) x 2.
    """
    rows = len(row_turns) - 1
    hashes = np.zeros((rows, 2, 2), np.uint64)
    for row in range(rows):
        low, high = np.uint64(0), np.uint64(0)
        prompt_low, prompt_high = low, high
        same = True  # until there is an answer, the prompt is all there is
        for turn in range(row_turns[row], row_turns[row + 1]):
            begin, stop, role = where[turn], where[turn + 1], _TURN | np.uint64(roles[turn])
            if roles[turn] == _ANSWER and same:
                prompt_low, prompt_high, same = low, high, False
            low, high = _absorbed(low, high, role)
            low, high = _absorbed_text(low, high, data, begin, stop, classes, lower)
            if roles[turn] != _ANSWER and not same:
                prompt_low, prompt_high = _absorbed(prompt_low, prompt_high, role)
                prompt_low, prompt_high = _absorbed_text(prompt_low, prompt_high, data, begin, stop, classes, lower)
        if same:
            prompt_low, prompt_high = low, high
        hashes[row, 0] = _finished(low, high)
        hashes[row, 1] = _finished(prompt_low, prompt_high)
    return hashes


@njit(nogil=True, cache=True, inline="always")
def _finished(low, high):
    low += high
    high += low
    low, high = mixed(low), mixed(high)
    low += high
    return low, high + low


@njit(nogil=True, cache=True)
def _sort(values, scratch, counts):
    """Ascending, in place: by radix, which on some hundred numbers takes a quarter of the time of comparing them.

    Args:
        values: uint32.
        scratch: uint32, at least as many.
        counts: int32, 4 x 256.
    """
    if len(values) < 64:
        values.sort()
        return
    counts[:] = 0
    for value in values:
        for digit in range(4):
            counts[digit, value >> np.uint32(8 * digit) & np.uint32(255)] += 1
    for digit in range(4):
        place = 0
        for bucket in range(256):
            count = counts[digit, bucket]
            counts[digit, bucket] = place
            place += count
    one, other = values, scratch[: len(values)]
    for digit in range(4):
        for value in one:
            bucket = value >> np.uint32(8 * digit) & np.uint32(255)
            other[counts[digit, bucket]] = value
            counts[digit, bucket] += 1
        one, other = other, one


@njit(nogil=True, cache=True)
def hash_facts(data, where, classes, lower, row_turns, roles):
    """A hash of the numbers and symbols of every row's user turns, in their order: uint64."""
    facts = np.zeros(len(row_turns) - 1, np.uint64)
    for row in range(len(facts)):
        found = np.uint64(0)
        for turn in range(row_turns[row], row_turns[row + 1]):
            if roles[turn] == _SYSTEM or roles[turn] == _ANSWER:
                continue
            p, stop, number = where[turn], where[turn + 1], False
            while p < stop:
                code, size = decode(data, p)
                p += size
                kind = classes[code]
                if kind in (NUMBER, SYMBOL):
                    if kind == NUMBER and not number:
                        found = mixed(found)  # 1 and 2 are not 12
                    found = mixed(found * _BASE + np.uint64(lower[code]))
                number = kind == NUMBER
        facts[row] = found
    return facts


@njit(nogil=True, cache=True)
def sign(hashes, turns, row_turns, roles, facts, width, sides_alike, multipliers, offsets, depth, words):
    """Shingles, sketch and band keys of every row.

    Args:
        hashes: uint64, the tokens of all turns.
        turns: int64, where the tokens of a turn begin.
        row_turns: int64, where the turns of a row begin.
        roles: uint8, of every turn.
        facts: uint64, of every row, as `hash_facts` makes them.
        width: Tokens in a shingle.
        sides_alike: Whether rows that have an answer are found by its shingles alone, and share no key if their facts differ, or their prompts
            are too short for a shingle and differ.
        multipliers, offsets: uint32, one of each for every permutation.
        depth: Permutations in a band.
        words: 64-bit words of a sketch, a power of two.

    Returns:
        shingles (uint32: 31 bits of hash, then whether it stands in an answer; of a row: distinct, ascending; none of a row whose answer has to be
        compared and is too short), begins (int64, where a row's begin), answered (int32: how many stand in an answer), sketches (uint64,
        rows x words), keys (uint64, rows x bands), signed (bool).
    """
    rows = len(row_turns) - 1
    lowest = np.empty(len(multipliers), np.uint32)
    scratch, counts = np.empty(1024, np.uint32), np.empty((4, 256), np.int32)
    shingles = np.empty(len(hashes), np.uint32)
    begins = np.zeros(rows + 1, np.int64)
    answered = np.zeros(rows, np.int32)
    sketches = np.zeros((rows, words), np.uint64)
    keys = np.zeros((rows, len(multipliers) // depth), np.uint64)
    signed = np.zeros(rows, np.bool_)
    n = 0
    for row in range(rows):
        first, by_answer, answer_size, prompt_size = n, False, 0, 0
        for turn in range(row_turns[row], row_turns[row + 1]):
            size = max(0, turns[turn + 1] - turns[turn] - width + 1)
            if roles[turn] == _ANSWER:
                by_answer = sides_alike
                answer_size += size
            elif roles[turn] != _SYSTEM:
                prompt_size += size
        begins[row + 1] = n
        if (by_answer and not answer_size) or not answer_size + prompt_size:
            continue
        for turn in range(row_turns[row], row_turns[row + 1]):
            if roles[turn] != _SYSTEM:
                n = _add_shingles(shingles, n, hashes[turns[turn] : turns[turn + 1]], width, np.uint32(roles[turn] == _ANSWER))
        if len(scratch) < n - first:
            scratch = np.empty(2 * (n - first), np.uint32)
        _sort(shingles[first:n], scratch, counts)
        n = _distinct(shingles, first, n)
        begins[row + 1], signed[row] = n, True
        own = shingles[first:n]
        for value in own:
            answered[row] += value & 1
            bit = value >> 1 & np.uint32(words * 64 - 1)
            sketches[row, bit >> 6] ^= np.uint64(1) << np.uint64(bit & 63)
        _min_hashes(own, by_answer, multipliers, offsets, lowest)
        # Rows with and without an answer are never alike, nor are rows whose facts or short prompts differ: they share no key.
        seed = mixed(facts[row] + np.uint64(by_answer)) if sides_alike else np.uint64(0)
        if by_answer and not prompt_size:
            for turn in range(row_turns[row], row_turns[row + 1]):
                if roles[turn] != _SYSTEM and roles[turn] != _ANSWER:
                    for token in hashes[turns[turn] : turns[turn + 1]]:
                        seed = mixed(seed * _BASE + token)
        for band in range(keys.shape[1]):
            key = seed
            for value in lowest[band * depth : band * depth + depth]:
                key = mixed(key * _BASE + np.uint64(value) + np.uint64(1))
            keys[row, band] = key
    return shingles[:n].copy(), begins, answered, sketches, keys, signed


@njit(nogil=True, cache=True)
def _add_shingles(shingles, n, tokens, width, in_answer):
    """Write the shingles of a turn from place n on, by a rolling hash; the place after the last."""
    power, rolling = np.uint64(1), np.uint64(0)
    for token in tokens[: width - 1]:
        power *= _BASE
        rolling = rolling * _BASE + token
    for place in range(width - 1, len(tokens)):
        rolling = rolling * _BASE + tokens[place]
        shingles[n] = np.uint32(mixed(rolling) >> np.uint64(33)) << np.uint32(1) | in_answer
        rolling -= power * tokens[place - width + 1]
        n += 1
    return n


@njit(nogil=True, cache=True)
def _distinct(shingles, first, last):
    """Leave one of each that is the same from `first` up to `last`, in an answer if any of them is; the place after the last."""
    n = first
    for value in shingles[first:last]:
        if n > first and shingles[n - 1] >> 1 == value >> 1:
            shingles[n - 1] |= value
        else:
            shingles[n] = value
            n += 1
    return n


@njit(nogil=True, cache=True)
def _min_hashes(shingles, of_answer, multipliers, offsets, lowest):
    """Fill `lowest` with the least value that each permutation gives to a shingle, or to one of the answer."""
    lowest[:] = np.uint32(0xFFFFFFFF)
    for shingle in shingles:
        if of_answer and not shingle & 1:
            continue
        value = shingle >> np.uint32(1)
        for p in range(len(lowest)):
            lowest[p] = min(lowest[p], np.uint32(multipliers[p] * value + offsets[p]))


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
