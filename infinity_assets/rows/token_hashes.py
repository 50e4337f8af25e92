"""The tokens of many texts at once, as 64-bit hashes, by a compiled scan of their UTF-8 bytes.

The tokens are those of `rows.text.tokens` (case and punctuation ignored, one CJK character a token), at some hundred megabytes a second and
core: hashes take the place of strings wherever texts are compared with texts. The scan releases the GIL, so that batches can run in threads.
"""

import threading
import unicodedata
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from infinity_assets.rows.character_classes import ALONE, LETTER, NUMBER, SEPARATOR, SPACE, SYMBOL, SYMBOLS
from infinity_assets.rows.text import CJK, TOKEN

_POINTS = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x40000), np.arange(0xE0000, 0xF0000)])
"""The code points of which Unicode says something: surrogates are no text, planes 4 to 13 are empty, 15 and 16 are private."""

T = TypeVar("T")
_MAKING = threading.RLock()


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """The function, called once: `functools.cache` lets every thread that comes while it runs make the same again."""
    made: list[T] = []

    def get() -> T:
        if not made:
            with _MAKING:
                if not made:
                    made.append(make())
        return made[0]

    return get


class TokenHashes(NamedTuple):
    """The tokens of a list of texts, flat. Text i has the tokens `offsets[i]` up to `offsets[i + 1]`."""

    hashes: np.ndarray
    """uint64: equal tokens have equal hashes."""
    offsets: np.ndarray
    """int64, one more than there are texts."""
    starts: np.ndarray
    """int32: where the token begins in its text, in bytes of `texts`."""
    ends: np.ndarray
    """int32: where it ends."""
    wordy: np.ndarray
    """bool: two letters or more and nothing but letters, or a CJK character. A lone digit is no evidence that two texts are one."""
    texts: pl.Series
    """The texts as they were scanned (`compatible`). Case is kept."""


def token_hashes(texts: pl.Series) -> TokenHashes:
    """The tokens of every text; a null text has none.

    Differs from `rows.text.tokens` in two letters whose lower case depends on more than themselves: every sigma is σ, and İ is i.
    """
    from infinity_assets.rows.token_kernels import scan_tokens

    scanned = compatible(texts)
    data, where = utf8(scanned)
    found = scan_tokens(data, where, *characters())
    return TokenHashes(*found, scanned)


def compatible(texts: pl.Series) -> pl.Series:
    """The texts in NFKC, null as an empty text.

    NFKC is slow and changes few texts. ASCII is left alone, and so are texts of which it changes nothing but signs into other signs, such as the
    full-width comma: for them, `characters` has the sign that it becomes.
    """
    from infinity_assets.rows.token_kernels import any_of

    texts = texts.fill_null("")
    foreign = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if not len(foreign):
        return texts
    foreign = foreign.filter(pl.Series(any_of(*utf8(texts.gather(foreign)), _decomposed())))
    return texts.scatter(foreign, texts.gather(foreign).str.normalize("NFKC")) if len(foreign) else texts


def utf8(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of the texts one after another, and where each begins (int64, one more than there are texts)."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, where, data = array.buffers()
    offsets = np.frombuffer(where, np.int64)[array.offset : array.offset + len(array) + 1]
    return (np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)), offsets


@_once
def characters() -> tuple[np.ndarray, np.ndarray]:
    """By code point: the class (uint8), and the lower case (uint32) of what it is in NFKC."""
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
    changed, single = _in_nfkc()
    lower[changed[single >= 0]] = single[single >= 0]
    cased = (letters.str.to_lowercase() != letters).arg_true().to_list()
    lower[_POINTS[cased]] = [
        ord(small) if len(small := letter.lower()) == 1 else ord(letter) for letter in letters.gather(cased)
    ]
    lower[ord("İ")], lower[ord("ς")] = ord("i"), ord("σ")
    return classes, lower


@_once
def _letters() -> pl.Series:
    """Each of `_POINTS` as a text."""
    return pl.Series([chr(point) for point in _POINTS])


@_once
def _in_nfkc() -> tuple[np.ndarray, np.ndarray]:
    """The code points that NFKC changes, and what each becomes: a code point, if sign becomes sign, else -1."""
    letters = _letters()
    compatible = letters.str.normalize("NFKC")
    changed = (compatible != letters).arg_true()
    before, after = letters.gather(changed), compatible.gather(changed)
    token = rf"^{TOKEN}$"
    sign = (after.str.len_chars() == 1) & ~before.str.contains(token) & ~after.str.contains(token)
    single = [ord(letter) if plain else -1 for letter, plain in zip(after, sign, strict=True)]
    return _POINTS[changed.to_numpy()], np.array(single, np.int64)


@_once
def _decomposed() -> np.ndarray:
    """By code point: whether NFKC of a text with it is more than sign for sign (bool)."""
    changed, single = _in_nfkc()
    found = np.zeros(0x110000, np.bool_)
    found[changed[single < 0]] = True
    for point in _POINTS[0x80:].tolist():
        # What may be composed with what stands before it: combining marks, and the second halves of canonical compositions.
        parts = unicodedata.decomposition(letter := chr(point)).split()
        if unicodedata.combining(letter):
            found[point] = True
        if len(parts) == 2 and not parts[0].startswith("<"):
            found[int(parts[1], 16)] = True
    found[0x1160:0x1200] = True  # vowels and finals of Hangul syllables, which compose by rule
    return found
