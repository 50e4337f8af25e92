"""Compiled scans of UTF-8 text (numba). Import them inside the calling function, because numba loads slowly."""

import numpy as np
from numba import njit

from infinity_assets.rows.character_classes import ALONE, LETTER, NUMBER

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, over code points
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # the finalizer of MurmurHash3


@njit(nogil=True, cache=True, inline="always")
def mix(value):
    """Mix the bits of a value: each result bit depends on every input bit, and no two values share a result."""
    value ^= value >> np.uint64(33)
    value *= _MIX_1
    value ^= value >> np.uint64(33)
    value *= _MIX_2
    return value ^ (value >> np.uint64(33))


@njit(nogil=True, cache=True, inline="always")
def decode(data, p):
    """Return the code point at byte p of valid UTF-8 text, and its length in bytes."""
    first = np.uint32(data[p])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return np.uint32((first & 0x1F) << 6 | (data[p + 1] & 0x3F)), 2
    if first < 0xF0:
        return np.uint32((first & 0x0F) << 12 | (data[p + 1] & 0x3F) << 6 | (data[p + 2] & 0x3F)), 3
    return np.uint32(
        (first & 0x07) << 18 | (data[p + 1] & 0x3F) << 12 | (data[p + 2] & 0x3F) << 6 | (data[p + 3] & 0x3F)
    ), 4


@njit(nogil=True, cache=True)
def scan_tokens(data, where, classes, lower):
    """Return hashes, offsets, starts, ends and wordiness of the tokens of all texts, as in `TokenHashes`."""
    texts = len(where) - 1
    # The shortest token is a byte with the separator after it, or a CJK character of three bytes.
    most = (where[texts] - where[0]) // 2 + texts + 1
    hashes, wordy = np.empty(most, np.uint64), np.empty(most, np.bool_)
    starts, ends = np.empty(most, np.int32), np.empty(most, np.int32)
    offsets = np.zeros(texts + 1, np.int64)
    n = 0
    for text in range(texts):
        begin, stop = where[text], where[text + 1]
        p = begin
        start = begin
        letters = 0
        inside = False
        pure = True
        h = OFFSET
        while p < stop:
            code, size = decode(data, p)
            kind = classes[code]
            if kind in (LETTER, NUMBER):
                if not inside:
                    inside, pure, letters, start, h = True, True, 0, p, OFFSET
                h = (h ^ np.uint64(lower[code])) * PRIME
                letters += 1
                pure &= kind == LETTER
            else:
                if inside:
                    hashes[n], starts[n], ends[n], wordy[n] = mix(h), start - begin, p - begin, pure and letters > 1
                    n += 1
                    inside = False
                if kind == ALONE:
                    hashes[n] = mix((OFFSET ^ np.uint64(lower[code])) * PRIME)
                    starts[n], ends[n], wordy[n] = p - begin, p + size - begin, True
                    n += 1
            p += size
        if inside:
            hashes[n], starts[n], ends[n], wordy[n] = mix(h), start - begin, stop - begin, pure and letters > 1
            n += 1
        offsets[text + 1] = n
    return hashes[:n], offsets, starts[:n], ends[:n], wordy[:n]


@njit(nogil=True, cache=True)
def contains_any(data, where, wanted):
    """Return a bool per text: whether it contains a non-ASCII character that `wanted` (bool by code point) marks."""
    result = np.zeros(len(where) - 1, np.bool_)
    for text in range(len(result)):
        p, stop = where[text], where[text + 1]
        while p < stop and not result[text]:
            if data[p] < 0x80:
                p += 1
                continue
            code, size = decode(data, p)
            result[text] = wanted[code]
            p += size
    return result
