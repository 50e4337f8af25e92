"""Compiled loops over tokens and n-grams. Import this module inside functions: numba takes most of a second to load."""

import numpy as np
from numba import njit

from infinity_assets.rows.token_kernels import decode, mix

SPACE, WORD, SIGN = range(3)
"""Character classes for the reference's tokens: `\\s`, `\\w` and others, as in `regex`, which NLTK 3.10 uses."""

_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd multiplier: the order of an n-gram's tokens changes its hash
_OFFSET = np.uint64(0xCBF29CE484222325)  # offset basis of FNV-1a
_PRIME = np.uint64(0x100000001B3)
_CACHED = 1 << 18  # n-grams whose SHA-256 is cached: 3 MiB


def _roots(power: float, count: int) -> list[int]:
    """Return the first 32 fractional bits of a root (exponent `power`) of each of the first `count` primes.

    The constants of SHA-256 are such bits of square and cube roots.
    """
    primes = [n for n in range(2, 400) if all(n % d for d in range(2, n))][:count]
    bits = round(1 / power)
    roots = []
    for prime in primes:
        root = round(prime**power * 2**32)
        scaled = prime << (32 * bits)
        while root**bits > scaled:
            root -= 1
        while (root + 1) ** bits <= scaled:
            root += 1
        roots.append(root & 0xFFFFFFFF)
    return roots


_INITIAL = np.array(_roots(1 / 2, 8), np.uint32)
_ROUND = np.array(_roots(1 / 3, 64), np.uint32)


@njit(nogil=True, cache=True)
def _offsets(offsets, order):
    """Return the offsets of the n-grams of every text, given the offsets of its tokens."""
    starts = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        tokens = offsets[text + 1] - offsets[text]
        total = 0
        for length in range(order):
            total += max(tokens - length, 0)
        starts[text + 1] = starts[text] + total
    return starts


@njit(nogil=True, cache=True)
def hash_buckets(hashes, offsets, order, buckets):
    """Return the buckets of all n-grams of hashed tokens (int32), and the offsets of each text's n-grams (int64)."""
    where = _offsets(offsets, order)
    ngrams = np.empty(where[-1], np.int32)
    n = 0
    wide = np.uint64(buckets)
    for text in range(len(offsets) - 1):
        stop = offsets[text + 1]
        for first in range(offsets[text], stop):
            h = hashes[first]
            for last in range(first, min(first + order, stop)):
                if last > first:
                    h = mix(h * _STEP + hashes[last])
                ngrams[n] = ((h >> np.uint64(32)) * wide) >> np.uint64(32)
                n += 1
    return ngrams, where


@njit(nogil=True, cache=True)
def word_punct(data, where, classes):
    """Split texts into tokens: the longest runs of characters of one class, except white space.

    Returns:
        Hashes of the tokens, offsets of each text's tokens, and the first and the end byte of each token in `data`.
    """
    texts = len(where) - 1
    most = where[texts] - where[0]
    hashes = np.empty(most, np.uint64)
    starts = np.empty(most, np.int64)
    ends = np.empty(most, np.int64)
    offsets = np.zeros(texts + 1, np.int64)
    n = 0
    for text in range(texts):
        p = where[text]
        stop = where[text + 1]
        before = SPACE
        while p < stop:
            code, size = decode(data, p)
            kind = classes[code]
            if kind != SPACE:
                if kind != before:
                    hashes[n] = _OFFSET
                    starts[n] = p
                    n += 1
                hashes[n - 1] = (hashes[n - 1] ^ np.uint64(code)) * _PRIME
                ends[n - 1] = p + size
            before = kind
            p += size
        offsets[text + 1] = n
    for token in range(n):
        hashes[token] = mix(hashes[token])
    return hashes[:n], offsets, starts[:n], ends[:n]


@njit(nogil=True, cache=True, inline="always")
def _rotate_right(word, bits):
    return (word >> np.uint32(bits)) | (word << np.uint32(32 - bits))


@njit(nogil=True, cache=True)
def sha256_modulo(message, size, modulus):
    """Return the SHA-256 (FIPS 180-4) of the first `size` bytes of a buffer, modulo a number.

    The buffer needs 72 more bytes, which are overwritten.
    """
    padded = (size + 8) // 64 * 64 + 64
    message[size:padded] = 0
    message[size] = 0x80
    for place in range(8):
        message[padded - 1 - place] = (size * 8 >> 8 * place) & 0xFF
    state = _INITIAL.copy()
    w = np.empty(64, np.uint32)
    for block in range(0, padded, 64):
        for t in range(16):
            at = block + 4 * t
            w[t] = np.uint32(message[at] << 24 | message[at + 1] << 16 | message[at + 2] << 8 | message[at + 3])
        for t in range(16, 64):
            low = w[t - 15]
            high = w[t - 2]
            low = _rotate_right(low, 7) ^ _rotate_right(low, 18) ^ (low >> np.uint32(3))
            high = _rotate_right(high, 17) ^ _rotate_right(high, 19) ^ (high >> np.uint32(10))
            w[t] = np.uint32(w[t - 16] + low + w[t - 7] + high)
        a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
        for t in range(64):
            one = np.uint32(
                h
                + (_rotate_right(e, 6) ^ _rotate_right(e, 11) ^ _rotate_right(e, 25))
                + ((e & f) ^ (~e & g))
                + _ROUND[t]
                + w[t]
            )
            two = np.uint32(
                (_rotate_right(a, 2) ^ _rotate_right(a, 13) ^ _rotate_right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
            )
            h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + one), c, b, a, np.uint32(one + two)
        for place, word in enumerate((a, b, c, d, e, f, g, h)):
            state[place] = np.uint32(state[place] + word)
    rest = np.uint64(0)
    for word in state:
        rest = ((rest << np.uint64(32)) | np.uint64(word)) % np.uint64(modulus)
    return rest


@njit(nogil=True, cache=True)
def sha256_buckets(data, hashes, offsets, starts, ends, order, buckets):
    """Return the SHA-256 buckets of all n-grams (int32), and the offsets of each text's n-grams (int64)."""
    where = _offsets(offsets, order)
    ngrams = np.empty(where[-1], np.int32)
    longest = 0
    for token in range(len(starts)):
        longest = max(longest, ends[token] - starts[token])
    buffer = np.empty((longest + 1) * order + 72, np.uint8)
    # A few n-grams make up most of a text. The cache compares 64 bits: any two of 10 million n-grams collide with
    # probability 3e-6.
    keys = np.zeros(_CACHED, np.uint64)
    known = np.full(_CACHED, -1, np.int32)
    n = 0
    for text in range(len(offsets) - 1):
        stop = offsets[text + 1]
        for first in range(offsets[text], stop):
            h = hashes[first]
            for last in range(first, min(first + order, stop)):
                if last > first:
                    h = mix(h * _STEP + hashes[last])
                place = h & np.uint64(_CACHED - 1)
                if known[place] < 0 or keys[place] != h:
                    size = 0
                    for token in range(first, last + 1):
                        if token > first:
                            buffer[size] = 32
                            size += 1
                        for p in range(starts[token], ends[token]):
                            buffer[size] = data[p]
                            size += 1
                    keys[place] = h
                    known[place] = sha256_modulo(buffer, size, buckets)
                ngrams[n] = known[place]
                n += 1
    return ngrams, where


@njit(nogil=True, cache=True)
def count_buckets(buckets, offsets, wanted, size):
    """Count the n-grams of each bucket in the texts whose `wanted` is true: int64."""
    counts = np.zeros(size, np.int64)
    for text in range(len(wanted)):
        if wanted[text]:
            for n in range(offsets[text], offsets[text + 1]):
                counts[buckets[n]] += 1
    return counts


@njit(nogil=True, cache=True)
def sum_values(buckets, offsets, values):
    """Sum the values of each text's n-grams, where an n-gram has the value of its bucket: float64."""
    sums = np.zeros(len(offsets) - 1)
    for text in range(len(sums)):
        for n in range(offsets[text], offsets[text + 1]):
            sums[text] += values[buckets[n]]
    return sums
