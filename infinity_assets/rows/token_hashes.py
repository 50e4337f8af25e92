"""The tokens of many texts as 64-bit hashes, from a compiled scan of the texts' UTF-8 bytes.

The tokens are those of `rows.text.tokens` (case and punctuation ignored, one CJK character per token). Code that
compares many texts uses these hashes instead of strings, at some hundred megabytes per second and core. The scan
releases the GIL, so that batches can run in threads.
"""

import threading
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from infinity_assets.rows.character_classes import ALONE, LETTER, NUMBER, SEPARATOR, SPACE, SYMBOL, SYMBOLS
from infinity_assets.rows.text import CJK, TOKEN

_POINTS = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x40000), np.arange(0xE0000, 0xF0000)])
"""The code points that Unicode defines: surrogates are not text, planes 4 to 13 are empty, 15 and 16 are private."""

T = TypeVar("T")
_LOCK = threading.RLock()


def _compute_once(compute: Callable[[], T]) -> Callable[[], T]:
    """Wrap a function so that it runs only once, even with threads, which `functools.cache` alone does not ensure."""
    cached = cache(compute)

    def get() -> T:
        with _LOCK:
            return cached()

    return get


class TokenHashes(NamedTuple):
    """The tokens of a list of texts, in flat arrays. Text i has the tokens from `offsets[i]` up to `offsets[i + 1]`."""

    hashes: np.ndarray
    """uint64: equal tokens have equal hashes."""
    offsets: np.ndarray
    """int64: one entry more than there are texts."""
    starts: np.ndarray
    """int32: start of each token in its text, in bytes of `texts`."""
    ends: np.ndarray
    """int32: end of each token."""
    wordy: np.ndarray
    """bool: true for two or more letters and nothing else, or for a CJK character. Other tokens, such as a lone digit,
    are no evidence that two texts are the same."""
    texts: pl.Series
    """The texts as scanned (`to_nfkc`). Their case is kept."""


def hash_tokens(texts: pl.Series) -> TokenHashes:
    """Return the tokens of every text; a null text has none.

    They differ from `rows.text.tokens` in the lower case of two letters: every sigma becomes σ, even at the end of a
    word, and İ becomes i.
    """
    from infinity_assets.rows.token_kernels import scan_tokens

    scanned = to_nfkc(texts)
    data, where = to_utf8(scanned)
    return TokenHashes(*scan_tokens(data, where, *character_tables()), scanned)


def to_nfkc(texts: pl.Series) -> pl.Series:
    """Return the texts in the Unicode form NFKC, and null as an empty text.

    NFKC is slow and changes few texts. It is skipped for ASCII, and for texts in which it would only replace signs by
    other signs, such as the full-width comma. `character_tables` maps these signs.
    """
    from infinity_assets.rows.token_kernels import contains_any

    texts = texts.fill_null("")
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if not len(foreign):
        return texts
    foreign = foreign.filter(pl.Series(contains_any(*to_utf8(texts.gather(foreign)), _needs_nfkc())))
    return texts.scatter(foreign, texts.gather(foreign).str.normalize("NFKC")) if len(foreign) else texts


def to_utf8(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of the texts, one text after another, and the offset of each (int64, texts + 1 entries)."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, where, data = array.buffers()
    offsets = np.frombuffer(where, np.int64)[array.offset : array.offset + len(array) + 1]
    return (np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)), offsets


@_compute_once
def character_tables() -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays by code point: its class (uint8), and the lower case of its NFKC form (uint32)."""
    letters = _letters()
    classes = np.full(0x110000, SEPARATOR, np.uint8)
    for pattern, kind in (
        (r"\p{N}", NUMBER),
        (r"[\p{L}\p{M}]", LETTER),
        (rf"[{CJK}]", ALONE),
        (r"\s", SPACE),
        (SYMBOLS, SYMBOL),
    ):
        classes[_POINTS[letters.str.contains(rf"^{pattern}$").to_numpy()]] = kind
    lower = np.arange(0x110000, dtype=np.uint32)
    changed, single = _nfkc_changes()
    lower[changed[single >= 0]] = single[single >= 0]
    cased = (letters.str.to_lowercase() != letters).arg_true().to_list()
    lower[_POINTS[cased]] = [
        ord(small) if len(small := letter.lower()) == 1 else ord(letter) for letter in letters.gather(cased)
    ]
    lower[ord("İ")], lower[ord("ς")] = ord("i"), ord("σ")
    return classes, lower


@_compute_once
def _letters() -> pl.Series:
    """Return the character of each code point in `_POINTS`."""
    return pl.Series([chr(point) for point in _POINTS])


@_compute_once
def _nfkc_changes() -> tuple[np.ndarray, np.ndarray]:
    """Return the code points that NFKC changes, and for each its new code point if a sign becomes a sign, else -1."""
    letters = _letters()
    compatible = letters.str.normalize("NFKC")
    changed = (compatible != letters).arg_true()
    before, after = letters.gather(changed), compatible.gather(changed)
    token = rf"^{TOKEN}$"
    sign = (after.str.len_chars() == 1) & ~before.str.contains(token) & ~after.str.contains(token)
    single = [ord(letter) if plain else -1 for letter, plain in zip(after, sign, strict=True)]
    return _POINTS[changed.to_numpy()], np.array(single, np.int64)


@_compute_once
def _needs_nfkc() -> np.ndarray:
    """Return, by code point, whether NFKC can do more to a text that contains it than replace signs (bool)."""
    changed, single = _nfkc_changes()
    needed = np.zeros(0x110000, np.bool_)
    needed[changed[single < 0]] = True
    for point in _POINTS[0x80:].tolist():
        # These can combine with the character before: combining marks, and second halves of canonical compositions.
        parts = unicodedata.decomposition(letter := chr(point)).split()
        if unicodedata.combining(letter):
            needed[point] = True
        if len(parts) == 2 and not parts[0].startswith("<"):
            needed[int(parts[1], 16)] = True
    needed[0x1160:0x1200] = True  # vowels and finals of Hangul syllables, which compose by rule
    return needed
