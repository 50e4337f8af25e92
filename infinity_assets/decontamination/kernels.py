"""Compiled search for shared runs of tokens (numba). Import it inside the calling function: numba takes most of a
second to load.

A run is a stretch of tokens that stands in a text and in a part of an item and cannot be extended at either end. Tokens
are 64-bit hashes. `text`, `start` and `length` locate a run, in tokens; `start` counts from the first token of all
texts, `at` from the first token of all parts.
"""

import numpy as np
from numba import njit

from infinity_assets.rows.token_kernels import decode

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2^64
_ONE = np.uint64(1)


@njit(nogil=True, cache=True)
def _previous_character(data, begin, place):
    """Return the character before a place, and where it begins; 0 at the start of the text."""
    if place == begin:
        return 0, begin
    place -= 1
    while data[place] & 0xC0 == 0x80:
        place -= 1
    return decode(data, place)[0], place


@njit(nogil=True, cache=True)
def _is_option_letter(data, begin, stop, start, end):
    """Return whether the token is an option letter, A to J: `A)`, `(b)`, `C.`, `D:`, `E、`, `[f]`; signs may be wide."""
    if end - start != 1 or end >= stop:
        return False
    letter = data[start] | 0x20
    if letter < 97 or letter > 106:
        return False
    after = decode(data, end)[0]
    if 0xFF01 <= after <= 0xFF5E:
        after -= 0xFEE0
    if after not in (41, 46, 58, 93, 0x3001):  # ) . : ] 、
        return False
    before, place = _previous_character(data, begin, start)
    if before <= 32 or before == 0x3000:
        return True
    if 0xFF01 <= before <= 0xFF5E:
        before -= 0xFEE0
    if before != 40 and before != 91:  # ( [
        return False
    further = _previous_character(data, begin, place)[0]  # `f(a)` is a call, `grid[i][j]` a subscript
    return not (48 <= further <= 57 or 65 <= (further & 0xFFFFDF) <= 90 or further in (95, 41, 93))


@njit(nogil=True, cache=True)
def drop_option_letters(data, where, hashes, offsets, starts, ends, wordy):
    """Drop option letters from the tokens, in place, and return the new offsets of the texts."""
    kept = np.zeros_like(offsets)
    n = 0
    for text in range(len(offsets) - 1):
        begin, stop = where[text], where[text + 1]
        for token in range(offsets[text], offsets[text + 1]):
            start, end = starts[token], ends[token]
            if end - start == 1 and _is_option_letter(data, begin, stop, begin + start, begin + end):
                continue
            hashes[n], starts[n], ends[n], wordy[n] = hashes[token], start, end, wordy[token]
            n += 1
        kept[text + 1] = n
    return kept


@njit(nogil=True, cache=True)
def hash_texts(hashes, offsets):
    """Return a hash of all tokens of each text, in order."""
    result = np.empty(len(offsets) - 1, np.uint64)
    for text in range(len(result)):
        h = np.uint64(offsets[text + 1] - offsets[text])
        for token in range(offsets[text], offsets[text + 1]):
            h = h * _BASE + hashes[token]
        result[text] = h
    return result


@njit(nogil=True, cache=True)
def _is_repetitive(hashes, first, n):
    """Return whether a run of six or more tokens only repeats one, two or three of them."""
    if n < 6:
        return False
    for period in range(1, 4):
        place = period
        while place < n and hashes[first + place] == hashes[first + place - period]:
            place += 1
        if place == n:
            return True
    return False


@njit(nogil=True, cache=True)
def hash_grams(hashes, offsets, n):
    """Return the hash and the place of every run of n tokens within a text, except repetitive runs.

    A text of zeros and a table of zeros would share as many repetitive runs as the product of their lengths.
    """
    most = 0
    for text in range(len(offsets) - 1):
        most += max(offsets[text + 1] - offsets[text] - n + 1, 0)
    grams = np.empty(most, np.uint64)
    at = np.empty(most, np.int64)
    high = _ONE
    for _ in range(n - 1):
        high *= _BASE
    place = 0
    for text in range(len(offsets) - 1):
        h = np.uint64(0)
        for token in range(offsets[text], offsets[text + 1]):
            if token >= offsets[text] + n:
                h -= hashes[token - n] * high
            h = h * _BASE + hashes[token]
            if token >= offsets[text] + n - 1 and not _is_repetitive(hashes, token - n + 1, n):
                grams[place] = h
                at[place] = token - n + 1
                place += 1
    return grams[:place], at[:place]


@njit(nogil=True, cache=True)
def build_bit_filter(keys, bits):
    """Return a bit filter of the keys: a hash whose bit is not set is not a key."""
    words = np.zeros(1 << (bits - 6), np.uint64)
    for key in keys:
        bit = key >> np.uint64(64 - bits)
        words[bit >> np.uint64(6)] |= _ONE << (bit & np.uint64(63))
    return words


@njit(nogil=True, cache=True)
def find_shared_runs(
    hashes, offsets, n, words, bits, keys, firsts, postings, begins, item_hashes, item_offsets, part_of
):
    """Return all runs of at least n tokens that texts share with parts, by text.

    Args:
        hashes, offsets: Tokens of the texts, and the first of each text.
        n: Length of the shortest run.
        words, bits: Bit filter of the keys, from `build_bit_filter`, and its size as a power of two.
        keys: Hashes of all runs of n tokens of the parts, sorted, each once.
        firsts: First place of each key in `postings` (keys + 1 entries).
        postings, begins: Tokens of the parts at which a run with that hash begins, and a mask of these tokens.
        item_hashes, item_offsets, part_of: Tokens of the parts, the first of each part, and the part of each token.

    Returns:
        text, part, start, at, length of each run, int64.
    """
    capacity = 1024
    count = 0
    runs = np.empty((capacity, 5), np.int64)
    shift = np.uint64(64 - bits)
    high = _ONE
    for _ in range(n - 1):
        high *= _BASE
    for text in range(len(offsets) - 1):
        begin, stop = offsets[text], offsets[text + 1]
        h = np.uint64(0)
        for token in range(begin, stop):
            if token >= begin + n:
                h -= hashes[token - n] * high
            h = h * _BASE + hashes[token]
            if token < begin + n - 1:
                continue
            bit = h >> shift
            if not (words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & _ONE:
                continue
            low = np.searchsorted(keys, h)
            if low == len(keys) or keys[low] != h:
                continue
            start = token - n + 1
            for posting in range(firsts[low], firsts[low + 1]):
                at = postings[posting]
                part = part_of[at]
                back = 0
                while (
                    start - back > begin
                    and at - back > item_offsets[part]
                    and hashes[start - back - 1] == item_hashes[at - back - 1]
                ):
                    back += 1
                    if begins[at - back]:
                        break
                if back and begins[at - back]:
                    continue  # the run was found from that posting
                length = 0
                while (
                    start + length < stop
                    and at + length < item_offsets[part + 1]
                    and hashes[start + length] == item_hashes[at + length]
                ):
                    length += 1
                if length < n:
                    continue
                if count == capacity:
                    capacity *= 2
                    larger = np.empty((capacity, 5), np.int64)
                    larger[:count] = runs
                    runs = larger
                runs[count, 0], runs[count, 1] = text, part
                runs[count, 2], runs[count, 3], runs[count, 4] = start - back, at - back, length + back
                count += 1
    return runs[:count]


@njit(nogil=True, cache=True)
def measure(runs, firsts, n, min_words, cover, words_before, head_ends, allowed_until, of_allowed):
    """Return the tokens and words that the runs of each pair of text and part cover, and the longest runs.

    Args:
        runs, firsts: Runs from `find_shared_runs`, by text, part, at; the first of each pair (pairs + 1 entries).
        n, min_words: Length of a run that is a hit by itself (0 if no run is), and the fewest words in it.
        cover: Length of the shortest run that counts as covered.
        words_before, head_ends: Words before each token of the parts (tokens + 1 entries); end of each part's head.
        allowed_until: End of the allowed text around each token of the parts; the token itself if there is no such
            text.
        of_allowed: Whether runs inside an allowed text count. One or two tokens at either end may lie outside it: they
            are equal by chance.

    Returns:
        By pair: tokens covered, words covered, tokens of the head covered, words of the head covered, the longest run
            that is a hit by itself and the longest run that covers (-1 if there is no such run).
    """
    pairs = len(firsts) - 1
    result = np.zeros((pairs, 6), np.int64)
    for pair in range(pairs):
        end = head_end = longest_hit = longest = 0
        result[pair, 4] = result[pair, 5] = -1
        for run in range(firsts[pair], firsts[pair + 1]):
            at, length = runs[run, 3], runs[run, 4]
            if not of_allowed:
                slack = min(2, (length - 1) // 4)
                if allowed_until[at + slack] >= at + length - slack:
                    continue
            if n and length >= n and length > longest_hit:
                for start in range(at, at + length - n + 1):
                    if words_before[start + n] - words_before[start] >= min_words:
                        longest_hit = length
                        result[pair, 4] = run
                        break
            if length < cover:
                continue
            if length > longest:
                longest = length
                result[pair, 5] = run
            start, stop = max(at, end), at + length
            if stop > start:
                result[pair, 0] += stop - start
                result[pair, 1] += words_before[stop] - words_before[start]
                end = stop
            start, stop = max(at, head_end), min(at + length, head_ends[runs[run, 1]])
            if stop > start and stop - at >= cover:  # the part of the run inside the head must itself be long enough
                result[pair, 2] += stop - start
                result[pair, 3] += words_before[stop] - words_before[start]
                head_end = stop
    return result


@njit(nogil=True, cache=True)
def spell(data, where, owners, firsts, lengths, starts, ends):
    """Return the tokens of runs as text, a space after each token, one run after another, and the offset of each run.

    Args:
        data, where: Bytes of the texts, and the offset of each text.
        owners, firsts, lengths: By run: its text, its first token and its number of tokens.
        starts, ends: By token: its place in its text.
    """
    size = 0
    for run in range(len(owners)):
        for token in range(firsts[run], firsts[run] + lengths[run]):
            size += ends[token] - starts[token] + 1
    text, begins = np.empty(size, np.uint8), np.zeros(len(owners) + 1, np.int64)
    place = 0
    for run in range(len(owners)):
        begin = where[owners[run]]
        for token in range(firsts[run], firsts[run] + lengths[run]):
            for byte in range(begin + starts[token], begin + ends[token]):
                text[place] = data[byte]
                place += 1
            text[place] = 32
            place += 1
        begins[run + 1] = place
    return text, begins
