"""Compiled search (numba) for runs of tokens that texts share with benchmark items.

Import this module inside the calling function, because numba takes most of a second to load. Tokens are 64-bit hashes.
A part is the question or the answer of an item. A run is a stretch of tokens that occurs in a text and in a part and
cannot be extended at either end. It is described by the indices of its text and part, its first token among the tokens
of all texts (`start`) and among those of all parts (`at`), and its number of tokens (`length`).
"""

import numpy as np
from numba import njit

from infinity_assets.rows.token_kernels import OFFSET, PRIME, decode, mix

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that powers of it never vanish modulo 2^64
_ONE = np.uint64(1)
_LABEL = 4
"""Maximum number of tokens of a label before any question, such as `Opera trivia:`."""
_ASIDE = 24
"""Maximum number of other tokens around a question that says enough to be recognized."""


@njit(nogil=True, cache=True)
def _previous_character(data, begin, place):
    """Return the character before a byte offset (0 at the start of the text), and the offset of that character."""
    if place == begin:
        return 0, begin
    place -= 1
    while data[place] & 0xC0 == 0x80:
        place -= 1
    return decode(data, place)[0], place


@njit(nogil=True, cache=True)
def _is_option_letter(data, begin, stop, start, end):
    """Return whether the token is an option letter, A to J: `A)`, `(b)`, `C.`, `D:`, `E、`, `[f]`, also full-width."""
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
def _is_entity(data, begin, stop, start, end):
    """Return whether the token is the name of an HTML entity, as in `&quot;`, `&#39;` and `&#x27;`."""
    if start == begin or end >= stop or data[end] != 59:  # ;
        return False
    before = data[start - 1]
    return before == 38 or (before == 35 and start - 1 > begin and data[start - 2] == 38)  # & or &#


@njit(nogil=True, cache=True)
def _is_after_comma(data, begin, start, end, previous_end):
    """Return whether a token is three digits after a comma that follows the digits of the previous token: `1,250`."""
    if end - start != 3 or start - previous_end != 1 or data[previous_end] != 44:
        return False
    for place in range(start, end):
        if not 48 <= data[place] <= 57:
            return False
    return previous_end > begin and 48 <= data[previous_end - 1] <= 57


@njit(nogil=True, cache=True)
def _hash_number(data, start, end):
    """Return the hash of the digits between two places, as `scan_tokens` hashes a token."""
    h = OFFSET
    for place in range(start, end):
        if data[place] != 44:
            h = (h ^ np.uint64(data[place])) * PRIME
    return mix(h)


@njit(nogil=True, cache=True)
def clean_tokens(data, where, hashes, offsets, starts, ends, wordy):
    """Drop option letters and HTML entities from the arrays of tokens, and join numbers with commas, in place.

    Returns the new index of each text's first token.
    """
    kept = np.zeros_like(offsets)
    n = 0
    for text in range(len(offsets) - 1):
        begin, stop = where[text], where[text + 1]
        for token in range(offsets[text], offsets[text + 1]):
            start, end = starts[token], ends[token]
            if end - start == 1 and _is_option_letter(data, begin, stop, begin + start, begin + end):
                continue
            if start and 35 <= data[begin + start - 1] <= 44:  # `#`, `&` and `,` are among these, a space is not
                if _is_entity(data, begin, stop, begin + start, begin + end):
                    continue
                if n > kept[text] and _is_after_comma(data, begin, begin + start, begin + end, begin + ends[n - 1]):
                    ends[n - 1] = end
                    hashes[n - 1] = _hash_number(data, begin + starts[n - 1], begin + end)
                    continue
            hashes[n], starts[n], ends[n], wordy[n] = hashes[token], start, end, wordy[token]
            n += 1
        kept[text + 1] = n
    return kept


@njit(nogil=True, cache=True)
def hash_texts(hashes, offsets):
    """Return one hash per text, of all its tokens in order."""
    result = np.empty(len(offsets) - 1, np.uint64)
    for text in range(len(result)):
        h = np.uint64(offsets[text + 1] - offsets[text])
        for token in range(offsets[text], offsets[text + 1]):
            h = h * _BASE + hashes[token]
        result[text] = h
    return result


@njit(nogil=True, cache=True)
def _is_repetitive(hashes, first, n):
    """Return whether a run has six or more tokens and only repeats its first one, two or three tokens."""
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
    """Return the hash and the first token of every n consecutive tokens within a text, unless they are repetitive.

    The runs of repetitive tokens multiply: two tables of zeros would share as many as the product of their sizes.
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
def _is_among(keys, key):
    place = np.searchsorted(keys, key)
    return place < len(keys) and keys[place] == key


@njit(nogil=True, cache=True)
def _begins_options(data, begin, stop, start, end):
    """Return whether a list of options begins between two places: `(A)`, `A.`, `a)`."""
    for place in range(start, end):  # noqa: SIM110 - numba compiles no generators
        if data[place] | 0x20 == 97 and _is_option_letter(data, begin, stop, place, place + 1):
            return True
    return False


@njit(nogil=True, cache=True)
def build_bit_filter(keys, bits):
    """Return a bit filter of 2^bits bits: a hash whose bit is not set is not one of the keys."""
    words = np.zeros(1 << (bits - 6), np.uint64)
    for key in keys:
        bit = key >> np.uint64(64 - bits)
        words[bit >> np.uint64(6)] |= _ONE << (bit & np.uint64(63))
    return words


@njit(nogil=True, cache=True)
def _hash_leads(hashes, begins, lead):
    """Return the hash of the `lead` tokens that follow each of the places `begins`."""
    leads = np.zeros(len(begins), np.uint64)
    for entry in range(len(begins)):
        for token in range(begins[entry], begins[entry] + lead):
            leads[entry] = leads[entry] * _BASE + hashes[token]
    return leads


@njit(nogil=True, cache=True)
def find_wrapped(
    hashes,
    offsets,
    starts,
    ends,
    data,
    where,
    most,
    keys,
    firsts,
    lengths,
    enough,
    item_hashes,
    begins,
    longest,
    around,
    options,
):
    """Return a run for each text that consists of a question, and of words that people put around one.

    A label (`_LABEL`) may precede the question, and a list of options may follow it. Around a question that says
    `enough`, up to `_ASIDE` tokens of any kind may stand, if they are sentences or lines of their own.

    Args:
        hashes, offsets, starts, ends: Tokens of the texts, index of each text's first token, place in the text.
        data, where: Bytes of the texts, and the offset of each text.
        most: Maximum number of tokens of a text.
        keys, firsts, lengths, enough: Distinct hashes of the questions (`hash_texts`), sorted; index of each key's
            first entry, the number of tokens of each entry, and whether it says enough to be recognized among others.
        item_hashes, begins: Tokens of the items, and index of each entry's first token.
        longest: Maximum number of tokens of a question.
        around, options: Hashes of the words around a question, and of those that begin a list of options; sorted.

    Returns:
        int64, shape (runs, 4): text, entry, first token, number of tokens.
    """
    runs = np.empty((1024, 4), np.int64)
    count = 0
    bits = 20
    filter_words = build_bit_filter(keys, bits)
    lead = 2 if lengths.min() > 1 else 1
    lead_words = build_bit_filter(_hash_leads(item_hashes, begins[lengths >= lead], lead), bits)
    shift = np.uint64(64 - bits)
    for text in range(len(offsets) - 1):
        first, last = offsets[text], offsets[text + 1]
        if last - first > most or last - first < 2:
            continue
        begin, stop = where[text], where[text + 1]
        only_around = True
        for start in range(first, last - lead + 1):
            if start > first and only_around:
                only_around = _is_among(around, hashes[start - 1])
            before = 0 if only_around else start - first
            if before > _ASIDE:
                break
            bit = (hashes[start] if lead == 1 else hashes[start] * _BASE + hashes[start + 1]) >> shift
            if not (lead_words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & _ONE:
                continue  # no question begins like this
            if (
                before
                and not (before <= _LABEL and data[begin + ends[start - 1]] == 44)  # an address: `Hey Ann, who ...`
                and not _is_separator(data, begin + ends[start - 1], begin + starts[start])
            ):
                continue
            h, high = np.uint64(0), _ONE
            for token in range(start, min(last, start + longest)):
                h = h * _BASE + hashes[token]
                high *= _BASE
                size = token - start + 1
                if size == last - first:
                    break
                key = h + np.uint64(size) * high
                bit = key >> shift
                if not (filter_words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & _ONE:
                    continue
                low = np.searchsorted(keys, key)
                if low == len(keys) or keys[low] != key:
                    continue
                rest = token + 1
                if rest < last and _begins_options(data, begin, stop, begin + ends[token], begin + starts[rest]):
                    rest = last
                while rest < last and _is_among(around, hashes[rest]):
                    rest += 1
                if rest < last and _is_among(options, hashes[rest]):
                    rest = last
                after = 0 if rest == last else last - token - 1
                if (
                    after
                    and not 65 <= data[begin + starts[token + 1]] <= 90  # a capital begins a sentence
                    and not _is_separator(data, begin + ends[token], begin + starts[token + 1])
                ):
                    continue
                for entry in range(firsts[low], firsts[low + 1]):
                    if lengths[entry] != size:
                        continue
                    if (after or before > _LABEL) and not (enough[entry] and before + after <= _ASIDE):
                        continue
                    if count == len(runs):
                        runs = np.concatenate((runs, np.empty_like(runs)))
                    runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = text, entry, start, size
                    count += 1
    return runs[:count]


@njit(nogil=True, cache=True)
def _is_separator(data, start, end):
    """Return whether the end of a sentence, a line or a label is between two places: `. ? ! : ; - > ] ) * " \n 。`."""
    for place in range(start, end):
        if data[place] in (46, 63, 33, 58, 59, 45, 62, 60, 93, 41, 40, 42, 34, 10):
            return True
        if data[place] >= 0xE2:  # signs of other scripts: `：`, `？`, `。`, quotation marks
            return True
    return False


@njit(nogil=True, cache=True)
def find_shared_runs(
    hashes, offsets, n, words, bits, keys, firsts, postings, begins, item_hashes, item_offsets, part_of
):
    """Return all runs of at least n tokens that texts share with parts, sorted by text.

    Args:
        hashes, offsets: Tokens of the texts, and the index of each text's first token.
        n: Minimum length of a run, in tokens.
        words, bits: Bit filter of the keys, from `build_bit_filter`, and the logarithm (base 2) of its size in bits.
        keys: Distinct hashes of all stretches of n tokens in the parts (`hash_grams`), sorted.
        firsts: Index of each key's first entry in `postings` (keys + 1 entries).
        postings, begins: By key, the tokens of the parts at which such a stretch begins; a mask of these tokens.
        item_hashes, item_offsets, part_of: Tokens of the parts, index of each part's first token, part of each token.

    Returns:
        int64, shape (runs, 5): text, part, start, at, length of each run.
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
                    continue  # the stretch at that token already found this run
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
    """Measure how much of a part the runs of each pair of text and part cover, and find the longest runs of the pair.

    Args:
        runs, firsts: Runs, sorted by text, part and `at`; index of each pair's first run (pairs + 1 entries).
        n, min_words: Minimum length of a run that is a hit by itself (0: there is no such rule), and the minimum number
            of words among n consecutive tokens of it.
        cover: Minimum length of a run that counts as covering.
        words_before, head_ends: Words before each token of the parts (tokens + 1 entries); end of each part's head.
        allowed_until: `Index.allowed_until`.
        of_allowed: Whether runs inside an allowed text count. One or two tokens at either end of such a run may lie
            outside the allowed text, because they may be equal by chance.

    Returns:
        int64, shape (pairs, 6): tokens covered, words covered, tokens and words of the head covered, index of the
        longest run that is a hit by itself, index of the longest run that covers (-1 if there is no such run).
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
    """Return the texts of all runs, one after another with a space after each token, and the offset of each run.

    Args:
        data, where: Bytes of the texts, and the offset of each text.
        owners, firsts, lengths: Text, first token and number of tokens of each run.
        starts, ends: Offsets of each token in its text, in bytes.
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
                if data[byte] != 44:  # a comma inside a number
                    text[place] = data[byte]
                    place += 1
            text[place] = 32
            place += 1
        begins[run + 1] = place
    return text[:place], begins
