"""Compiled search for shared runs of tokens (numba). Imported where it is called: numba takes most of a second.

A run is a stretch of tokens that stands in a text and in a part of an item and cannot be made longer on either end. Tokens are 64-bit hashes.
`text`, `start` and `length` say where it is, in tokens; `start` counts from the first token of all texts, `at` from that of all parts.
"""

import numpy as np
from numba import njit

from infinity_assets.rows.token_kernels import decode

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2^64
_ONE = np.uint64(1)


@njit(nogil=True, cache=True)
def _before(data, begin, place):
    """The character before a place, and where it begins; 0 at the beginning of the text."""
    if place == begin:
        return 0, begin
    place -= 1
    while data[place] & 0xC0 == 0x80:
        place -= 1
    return decode(data, place)[0], place


@njit(nogil=True, cache=True)
def _is_option_letter(data, begin, stop, start, end):
    """Whether the token is the letter of an option: `A)`, `(b)`, `C.`, `D:`, `E、`, `[f]` at the start of a word, A to J; signs may be full-width."""
    if end - start != 1 or end >= stop:
        return False
    letter = data[start] | 0x20
    if letter < 97 or letter > 106:
        return False
    after = decode(data, end)[0]
    if after >= 0xFF01 and after <= 0xFF5E:
        after -= 0xFEE0
    if not (after == 41 or after == 46 or after == 58 or after == 93 or after == 0x3001):  # ) . : ] 、
        return False
    before, place = _before(data, begin, start)
    if before <= 32 or before == 0x3000:
        return True
    if before >= 0xFF01 and before <= 0xFF5E:
        before -= 0xFEE0
    if before != 40 and before != 91:  # ( [
        return False
    further = _before(data, begin, place)[0]  # `f(a)` is a call, `grid[i][j]` a subscript
    return not (
        48 <= further <= 57 or 65 <= (further & 0xFFFFDF) <= 90 or further == 95 or further == 41 or further == 93
    )


@njit(nogil=True, cache=True)
def without_option_letters(data, where, hashes, offsets, starts, ends, wordy):
    """The tokens that are no option letters, in place: how many each text has left, as offsets."""
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
def text_hashes(hashes, offsets):
    """A hash of all tokens of each text, in order."""
    found = np.empty(len(offsets) - 1, np.uint64)
    for text in range(len(found)):
        h = np.uint64(offsets[text + 1] - offsets[text])
        for token in range(offsets[text], offsets[text + 1]):
            h = h * _BASE + hashes[token]
        found[text] = h
    return found


@njit(nogil=True, cache=True)
def _repeats(hashes, first, n):
    """Whether a run of n tokens, six or more, is but one, two or three of them over and over."""
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
def gram_hashes(hashes, offsets, n):
    """The hash of every run of n tokens within a text, and where it begins, but for those that repeat themselves.

    Of these a text of zeros shares as many with a table of zeros as the product of their lengths.
    """
    most = 0
    for text in range(len(offsets) - 1):
        most += max(offsets[text + 1] - offsets[text] - n + 1, 0)
    found, at = np.empty(most, np.uint64), np.empty(most, np.int64)
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
            if token >= offsets[text] + n - 1 and not _repeats(hashes, token - n + 1, n):
                found[place], at[place] = h, token - n + 1
                place += 1
    return found[:place], at[:place]


@njit(nogil=True, cache=True)
def bit_filter(keys, bits):
    """A bit for each key: what has none is no key."""
    words = np.zeros(1 << (bits - 6), np.uint64)
    for key in keys:
        bit = key >> np.uint64(64 - bits)
        words[bit >> np.uint64(6)] |= _ONE << (bit & np.uint64(63))
    return words


@njit(nogil=True, cache=True)
def shared_runs(hashes, offsets, n, words, bits, keys, firsts, postings, begins, item_hashes, item_offsets, part_of):
    """All runs of at least n tokens that texts share with parts, by text.

    Args:
        hashes: The tokens of the texts.
        offsets: Where each text begins.
        n: Shortest run.
        words: `bit_filter` of the keys.
        bits: Its size, as a power of two.
        keys: The hashes of all runs of n tokens of the parts, sorted, each once.
        firsts: Where the places of each key begin in `postings`; one more than there are keys.
        postings: Tokens of the parts at which a run with that hash begins.
        begins: Whether a token of the parts is one of the postings.
        item_hashes: The tokens of the parts.
        item_offsets: Where each part begins.
        part_of: The part of every token.

    Returns:
        text, part, start, at, length of each run, int64.
    """
    capacity, found = 1024, 0
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
            low, top = 0, len(keys)
            while low < top:
                middle = (low + top) >> 1
                if keys[middle] < h:
                    low = middle + 1
                else:
                    top = middle
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
                    continue  # it has been found from there
                length = 0
                while (
                    start + length < stop
                    and at + length < item_offsets[part + 1]
                    and hashes[start + length] == item_hashes[at + length]
                ):
                    length += 1
                if length < n:
                    continue
                if found == capacity:
                    capacity *= 2
                    larger = np.empty((capacity, 5), np.int64)
                    larger[:found] = runs
                    runs = larger
                runs[found, 0], runs[found, 1], runs[found, 2], runs[found, 3], runs[found, 4] = (
                    text,
                    part,
                    start - back,
                    at - back,
                    length + back,
                )
                found += 1
    return runs[:found]


@njit(nogil=True, cache=True)
def measure(runs, firsts, n, min_words, cover, words_before, head_ends, reach, of_allowed):
    """What the runs of each pair of text and part come to.

    Args:
        runs: As `shared_runs` gives them, sorted by text, part, at.
        firsts: Where the runs of each pair begin; one more than there are pairs.
        n: Tokens of a run that is a hit by itself; 0 for none.
        min_words: Of these at least so many are words.
        cover: Shortest run that covers what it shares.
        words_before: Words before each token of the parts, one more than there are tokens.
        head_ends: Where the head of each part ends.
        reach: How far the allowed text reaches in which each token of the parts stands; the token itself if in none.
        of_allowed: Whether runs inside an allowed text count. A token or two at either end may stick out: they are equal by chance.

    Returns:
        By pair: tokens covered, words covered, tokens of the head covered, words of the head covered, the longest run that is a hit by itself and
        the longest that covers (-1 for none).
    """
    pairs = len(firsts) - 1
    found = np.zeros((pairs, 6), np.int64)
    for pair in range(pairs):
        end = head_end = longest_hit = longest = 0
        found[pair, 4] = found[pair, 5] = -1
        for run in range(firsts[pair], firsts[pair + 1]):
            at, length = runs[run, 3], runs[run, 4]
            if not of_allowed:
                slack = min(2, (length - 1) // 4)
                if reach[at + slack] >= at + length - slack:
                    continue
            if n and length >= n and length > longest_hit:
                for start in range(at, at + length - n + 1):
                    if words_before[start + n] - words_before[start] >= min_words:
                        longest_hit, found[pair, 4] = length, run
                        break
            if length < cover:
                continue
            if length > longest:
                longest, found[pair, 5] = length, run
            start, stop = max(at, end), at + length
            if stop > start:
                found[pair, 0] += stop - start
                found[pair, 1] += words_before[stop] - words_before[start]
                end = stop
            start, stop = max(at, head_end), min(at + length, head_ends[runs[run, 1]])
            if stop > start and stop - at >= cover:  # of a run that goes on behind the head, what is left must be one
                found[pair, 2] += stop - start
                found[pair, 3] += words_before[stop] - words_before[start]
                head_end = stop
    return found


@njit(nogil=True, cache=True)
def spelled(data, where, owners, firsts, lengths, starts, ends):
    """The tokens of runs as text, a space after each, one run after the other, and where each begins.

    Args:
        data: The texts.
        where: Where each begins in it.
        owners: The text of each run.
        firsts: Its first token.
        lengths: Its tokens.
        starts: Where each token begins in its text.
        ends: Where it ends.
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
