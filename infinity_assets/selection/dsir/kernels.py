"""Compiled loops over tokens and n-grams (numba). Imported where they are called: numba takes most of a second."""

import numpy as np
from numba import njit

from infinity_assets.rows.token_kernels import decode, mixed

SPACE, WORD, SIGN = range(3)
"""Classes of characters for the reference's tokens: `\\s`, `\\w`, and the others, as the engine `regex` has them, which NLTK 3.10 runs on."""

_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that the order of the tokens of an n-gram counts
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
_CACHED = 1 << 18  # n-grams whose SHA-256 is at hand, 3 MiB of them


def _roots(power: float, count: int) -> list[int]:
    """The first 32 bits of the fractional parts of the roots of the first primes: SHA-256's constants are those of square and cube roots."""
    primes = [n for n in range(2, 400) if all(n % d for d in range(2, n))][:count]
    bits = round(1 / power)
    found = []
    for prime in primes:
        root, scaled = round(prime**power * 2**32), prime << (32 * bits)
        while root**bits > scaled:
            root -= 1
        while (root + 1) ** bits <= scaled:
            root += 1
        found.append(root & 0xFFFFFFFF)
    return found


_INITIAL, _ROUND = np.array(_roots(1 / 2, 8), np.uint32), np.array(_roots(1 / 3, 64), np.uint32)


@njit(nogil=True, cache=True)
def _offsets(offsets, order):
    """Where the n-grams of every text begin, from where its tokens do."""
    found = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        tokens, total = offsets[text + 1] - offsets[text], 0
        for length in range(order):
            total += max(tokens - length, 0)
        found[text + 1] = found[text] + total
    return found


@njit(nogil=True, cache=True)
def hash_buckets(hashes, offsets, order, buckets):
    """The buckets of all n-grams (int32) of tokens given by their hashes, and where those of every text begin."""
    where = _offsets(offsets, order)
    found = np.empty(where[-1], np.int32)
    n, wide = 0, np.uint64(buckets)
    for text in range(len(offsets) - 1):
        stop = offsets[text + 1]
        for first in range(offsets[text], stop):
            h = hashes[first]
            for last in range(first, min(first + order, stop)):
                if last > first:
                    h = mixed(h * _STEP + hashes[last])
                found[n] = ((h >> np.uint64(32)) * wide) >> np.uint64(32)
                n += 1
    return found, where


@njit(nogil=True, cache=True)
def word_punct(data, where, classes):
    """Hashes, offsets, starts and ends (in bytes of the data) of the tokens of all texts: longest runs of one class that is not white space."""
    texts = len(where) - 1
    most = where[texts] - where[0]
    hashes, starts, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    offsets = np.zeros(texts + 1, np.int64)
    n = 0
    for text in range(texts):
        p, stop, before = where[text], where[text + 1], SPACE
        while p < stop:
            code, size = decode(data, p)
            kind = classes[code]
            if kind != SPACE:
                if kind != before:
                    hashes[n], starts[n] = _OFFSET, p
                    n += 1
                hashes[n - 1] = (hashes[n - 1] ^ np.uint64(code)) * _PRIME
                ends[n - 1] = p + size
            before = kind
            p += size
        offsets[text + 1] = n
    for token in range(n):
        hashes[token] = mixed(hashes[token])
    return hashes[:n], offsets, starts[:n], ends[:n]


@njit(nogil=True, cache=True, inline="always")
def _turned(word, bits):
    return (word >> np.uint32(bits)) | (word << np.uint32(32 - bits))


@njit(nogil=True, cache=True)
def sha256_modulo(message, size, modulus):
    """The SHA-256 (FIPS 180-4) of the first bytes of a buffer, as a number, modulo another. The buffer has 72 bytes to spare, and is written to."""
    padded = (size + 8) // 64 * 64 + 64
    message[size:padded] = 0
    message[size] = 0x80
    for place in range(8):
        message[padded - 1 - place] = (size * 8 >> 8 * place) & 0xFF
    state, w = _INITIAL.copy(), np.empty(64, np.uint32)
    for block in range(0, padded, 64):
        for t in range(16):
            at = block + 4 * t
            w[t] = np.uint32(message[at] << 24 | message[at + 1] << 16 | message[at + 2] << 8 | message[at + 3])
        for t in range(16, 64):
            low, high = w[t - 15], w[t - 2]
            low = _turned(low, 7) ^ _turned(low, 18) ^ (low >> np.uint32(3))
            high = _turned(high, 17) ^ _turned(high, 19) ^ (high >> np.uint32(10))
            w[t] = np.uint32(w[t - 16] + low + w[t - 7] + high)
        a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
        for t in range(64):
            one = np.uint32(
                h + (_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + ((e & f) ^ (~e & g)) + _ROUND[t] + w[t]
            )
            two = np.uint32((_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c)))
            h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + one), c, b, a, np.uint32(one + two)
        for place, word in enumerate((a, b, c, d, e, f, g, h)):
            state[place] = np.uint32(state[place] + word)
    rest = np.uint64(0)
    for word in state:
        rest = ((rest << np.uint64(32)) | np.uint64(word)) % np.uint64(modulus)
    return rest


@njit(nogil=True, cache=True)
def sha256_buckets(data, hashes, offsets, starts, ends, order, buckets):
    """The buckets of all n-grams (int32) of tokens given by their bytes, and where those of every text begin."""
    where = _offsets(offsets, order)
    found = np.empty(where[-1], np.int32)
    longest = 0
    for token in range(len(starts)):
        longest = max(longest, ends[token] - starts[token])
    buffer = np.empty((longest + 1) * order + 72, np.uint8)
    # Few n-grams are most of a text. They are told apart by 64 bits of a hash: 10 million of them collide with probability 3e-6.
    keys, known = np.zeros(_CACHED, np.uint64), np.full(_CACHED, -1, np.int32)
    n = 0
    for text in range(len(offsets) - 1):
        stop = offsets[text + 1]
        for first in range(offsets[text], stop):
            h = hashes[first]
            for last in range(first, min(first + order, stop)):
                if last > first:
                    h = mixed(h * _STEP + hashes[last])
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
                    keys[place], known[place] = h, sha256_modulo(buffer, size, buckets)
                found[n] = known[place]
                n += 1
    return found, where


@njit(nogil=True, cache=True)
def counts_of(buckets, offsets, wanted, size):
    """How many n-grams each bucket has in the texts that are wanted (bool): int64."""
    found = np.zeros(size, np.int64)
    for text in range(len(wanted)):
        if wanted[text]:
            for n in range(offsets[text], offsets[text + 1]):
                found[buckets[n]] += 1
    return found


@njit(nogil=True, cache=True)
def sums_of(buckets, offsets, values):
    """The sum of the values of its n-grams' buckets, per text: float64."""
    found = np.zeros(len(offsets) - 1)
    for text in range(len(found)):
        for n in range(offsets[text], offsets[text + 1]):
            found[text] += values[buckets[n]]
    return found
