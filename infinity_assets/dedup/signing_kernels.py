"""Compiled loops (numba) that compute fingerprints: content hashes and MinHash signatures.

Import this module inside the calling function, because numba takes most of a second to load. All loops release the GIL.
"""

import numpy as np
from numba import njit

from infinity_assets.rows.character_classes import ALONE, LETTER, NUMBER, SEPARATOR, SPACE, SYMBOL
from infinity_assets.rows.token_kernels import decode, mix

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it vanishes modulo 2^64
_SYSTEM, _ANSWER = 0, 2
"""Indices of two roles in `fingerprints.ROLES`."""

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)  # MurmurHash3's, like the rotations below
_TURN = np.uint64(1) << np.uint64(32)
SHORT = 40
"""Maximum size in bytes of a short answer, in which letter case and white space may be the answer."""

_CASE, _FIRST, _SPACES = 1, 2, 4
"""Flags of what counts in a turn: the case of letters, that of a letter at the beginning, too, and white space."""


@njit(nogil=True, cache=True, inline="always")
def _rotate(value, bits):
    return value << np.uint64(bits) | value >> np.uint64(64 - bits)


@njit(nogil=True, cache=True, inline="always")
def _absorb(low, high, word):
    """Mix a word into a 128-bit state of two lanes, each with its own bijection."""
    low = _rotate(low ^ _rotate(word * _C1, 31) * _C2, 27) * np.uint64(5) + np.uint64(0x52DCE729)
    return low, _rotate(high ^ _rotate(word * _C2, 33) * _C1, 31) * np.uint64(5) + np.uint64(0x38495AB5)


@njit(nogil=True, cache=True)
def _find_care(data, begin, stop, classes, lower, role, about_case):
    """Return the flags of what counts in a turn.

    Case counts in answers to requests about it, in short answers and in answers in capitals. In the last two a
    letter at the beginning does not count, because "Yes" and "yes" are the same answer.
    """
    if role != _ANSWER:
        return 0
    is_short = stop - begin <= SHORT
    care = _SPACES if is_short else 0
    if about_case:
        return care | _CASE | _FIRST
    if is_short:
        return care | _CASE
    p = begin
    has_letters = False
    while p < stop:
        code, size = decode(data, p)
        p += size
        if classes[code] == ALONE or (classes[code] == LETTER and lower[code] == code):
            return 0
        has_letters = has_letters or classes[code] == LETTER
    return _CASE if has_letters else 0


@njit(nogil=True, cache=True)
def _absorb_text(low, high, data, begin, stop, classes, lower, care):
    """Mix the normalized form of a text into a state, in words of three code points (21 bits each)."""
    word, held = np.uint64(0), 0
    began, counts = False, (care & _FIRST) != 0
    gap, gap_begin = False, begin
    p = begin
    while p < stop:
        start = p
        code, size = decode(data, p)
        p += size
        if classes[code] == SPACE:
            if not gap:
                gap, gap_begin = began, start
            continue
        last = code if care & _CASE and counts and classes[code] == LETTER else lower[code]
        counts = counts or classes[code] != SEPARATOR
        if gap and care & _SPACES:
            q = gap_begin
            while q < start:
                space, size = decode(data, q)
                q += size
                if space != 13:  # line ends differ between systems
                    word, held, low, high = _hold(word, held, low, high, space)
        elif gap:
            word, held, low, high = _hold(word, held, low, high, 32)
        word, held, low, high = _hold(word, held, low, high, last)
        began, gap = True, False
    return _absorb(low, high, word << np.uint64(2) | np.uint64(held))


@njit(nogil=True, cache=True, inline="always")
def _hold(word, held, low, high, code):
    """Append a code point to a word, and mix the word into the state once it is full."""
    word = word << np.uint64(21) | np.uint64(code)
    held += 1
    if held == 3:
        low, high = _absorb(low, high, word)
        word, held = np.uint64(0), 0
    return word, held, low, high


@njit(nogil=True, cache=True)
def hash_contents(data, where, classes, lower, row_turns, roles, about_case):
    """Return two 128-bit hashes per row: of all its normalized turns, and of its normalized turns without the answers.

    Each turn contributes its role and its text in lower case, with runs of white space replaced by one space and
    stripped at both ends: like `rows.text.normalize_text`, but of a text that is already normalized. In some answers
    case and white space count (`_find_care`). The hash uses MurmurHash3's mixing in two lanes. It is not cryptographic.

    Args:
        about_case: bool, by row, whether a request is about letter case. For the others, see `fingerprints._Turns`.

    Returns:
        uint64, shape (rows, 2, 2): by row, the content hash and the prompt hash, of two words each.
    """
    rows = len(row_turns) - 1
    hashes = np.zeros((rows, 2, 2), np.uint64)
    for row in range(rows):
        low, high = np.uint64(0), np.uint64(0)
        prompt_low, prompt_high = low, high
        same = True  # no answer yet: both hashes have the same state
        for turn in range(row_turns[row], row_turns[row + 1]):
            begin, stop = where[turn], where[turn + 1]
            role = _TURN | np.uint64(roles[turn])
            if roles[turn] == _ANSWER and same:
                prompt_low, prompt_high, same = low, high, False
            low, high = _absorb(low, high, role)
            care = _find_care(data, begin, stop, classes, lower, roles[turn], about_case[row])
            low, high = _absorb_text(low, high, data, begin, stop, classes, lower, care)
            if roles[turn] != _ANSWER and not same:
                prompt_low, prompt_high = _absorb(prompt_low, prompt_high, role)
                prompt_low, prompt_high = _absorb_text(prompt_low, prompt_high, data, begin, stop, classes, lower, 0)
        if same:
            prompt_low, prompt_high = low, high
        hashes[row, 0] = _finish(low, high)
        hashes[row, 1] = _finish(prompt_low, prompt_high)
    return hashes


@njit(nogil=True, cache=True, inline="always")
def _finish(low, high):
    low += high
    high += low
    low, high = mix(low), mix(high)
    low += high
    return low, high + low


@njit(nogil=True, cache=True)
def _sort(values, scratch, counts):
    """Sort uint32 values in place by radix: for some hundred values, in a quarter of the time of a comparison sort.

    `scratch` (uint32, at least as long) and `counts` (int32, shape (4, 256)) are overwritten.
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
def hash_facts(data, where, classes, lower, row_turns, roles, about_case):
    """Return one hash per row (uint64) of the digits and symbols in its user turns, in their order.

    The capitals of answers in which case counts (`_find_care`) are part of it.
    """
    facts = np.zeros(len(row_turns) - 1, np.uint64)
    for row in range(len(facts)):
        state = np.uint64(0)
        for turn in range(row_turns[row], row_turns[row + 1]):
            p = where[turn]
            stop = where[turn + 1]
            care = _find_care(data, p, stop, classes, lower, roles[turn], about_case[row])
            if roles[turn] == _SYSTEM or (roles[turn] == _ANSWER and not care & _CASE):
                continue
            number = False
            counts = roles[turn] != _ANSWER or (care & _FIRST) != 0
            while p < stop:
                code, size = decode(data, p)
                p += size
                kind = classes[code]
                if roles[turn] == _ANSWER:
                    if kind == LETTER and lower[code] != code and counts:
                        state = mix(state * _BASE + (np.uint64(code) | _TURN))
                    counts = counts or kind not in (SPACE, SEPARATOR)
                    continue
                if kind in (NUMBER, SYMBOL):
                    if kind == NUMBER and not number:
                        state = mix(state)  # "1 2" differs from "12"
                    state = mix(state * _BASE + np.uint64(lower[code]))
                number = kind == NUMBER
        facts[row] = state
    return facts


@njit(nogil=True, cache=True)
def sign(hashes, turns, row_turns, roles, facts, width, sides_alike, multipliers, offsets, depth, words):
    """Return the shingles, sketch and band keys of every row.

    Args:
        hashes, turns: uint64, token hashes of all turns; int64, index of each turn's first token.
        row_turns, roles: int64, index of each row's first turn; uint8, role of each turn.
        facts: uint64, by row, from `hash_facts`.
        width: Number of tokens in a shingle.
        sides_alike: Whether prompts and answers must each be alike. If so, the keys of a row with an answer come from
            the answer's shingles alone. Rows with different facts, or different prompts too short for a shingle, then
            share no key, nor does a row with an answer share one with a row without.
        multipliers, offsets: uint32, one of each per permutation.
        depth: Number of permutations in a band.
        words: Number of 64-bit words in a sketch, a power of two.

    Returns:
        shingles: uint32, 31 bits of hash and a lowest bit that is set if the shingle occurs in an answer; distinct and
            ascending within a row. A row has none if `sides_alike` is set and its answer is too short for a shingle.
        begins: int64, index of each row's first shingle (rows + 1 entries).
        answered: int32, number of each row's shingles that occur in an answer.
        sketches, keys: uint64, shapes (rows, words) and (rows, bands).
        signed: bool, whether the row has keys.
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
                tokens, in_answer = hashes[turns[turn] : turns[turn + 1]], np.uint32(roles[turn] == _ANSWER)
                n = _add_shingles(shingles, n, tokens, width, in_answer)
        if len(scratch) < n - first:
            scratch = np.empty(2 * (n - first), np.uint32)
        _sort(shingles[first:n], scratch, counts)
        n = _remove_repeats(shingles, first, n)
        begins[row + 1], signed[row] = n, True
        own = shingles[first:n]
        for value in own:
            answered[row] += value & 1
            bit = value >> 1 & np.uint32(words * 64 - 1)
            sketches[row, bit >> 6] ^= np.uint64(1) << np.uint64(bit & 63)
        _min_hashes(own, by_answer, multipliers, offsets, lowest)
        # The seed keeps rows apart that cannot be alike: with and without an answer, with other facts or short prompts.
        seed = mix(facts[row] + np.uint64(by_answer)) if sides_alike else np.uint64(0)
        if by_answer and not prompt_size:
            for turn in range(row_turns[row], row_turns[row + 1]):
                if roles[turn] != _SYSTEM and roles[turn] != _ANSWER:
                    for token in hashes[turns[turn] : turns[turn + 1]]:
                        seed = mix(seed * _BASE + token)
        for band in range(keys.shape[1]):
            key = seed
            for value in lowest[band * depth : band * depth + depth]:
                key = mix(key * _BASE + np.uint64(value) + np.uint64(1))
            keys[row, band] = key
    return shingles[:n].copy(), begins, answered, sketches, keys, signed


@njit(nogil=True, cache=True)
def _add_shingles(shingles, n, tokens, width, in_answer):
    """Write the shingles of a turn (rolling hashes) from index n on, and return the index after the last."""
    power, rolling = np.uint64(1), np.uint64(0)
    for token in tokens[: width - 1]:
        power *= _BASE
        rolling = rolling * _BASE + token
    for place in range(width - 1, len(tokens)):
        rolling = rolling * _BASE + tokens[place]
        shingles[n] = np.uint32(mix(rolling) >> np.uint64(33)) << np.uint32(1) | in_answer
        rolling -= power * tokens[place - width + 1]
        n += 1
    return n


@njit(nogil=True, cache=True)
def _remove_repeats(shingles, first, last):
    """Merge equal sorted shingles and their answer bits from `first` up to `last`; return the index after the last."""
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
    """Fill `lowest` with the minimum of each permutation over all shingles, or over those of answers (`of_answer`)."""
    lowest[:] = np.uint32(0xFFFFFFFF)
    for shingle in shingles:
        if of_answer and not shingle & 1:
            continue
        value = shingle >> np.uint32(1)
        for p in range(len(lowest)):
            lowest[p] = min(lowest[p], np.uint32(multipliers[p] * value + offsets[p]))
