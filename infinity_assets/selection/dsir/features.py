"""Texts as bags of hashed n-grams, of 1 to `ngram` tokens each."""

from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl
import regex

from infinity_assets.rows.token_hashes import hash_tokens, to_utf8
from infinity_assets.settings.foundation import Dsir


class Ngrams(NamedTuple):
    """The n-grams of a list of texts, concatenated. Text i has those from `offsets[i]` up to `offsets[i + 1]`."""

    buckets: np.ndarray
    """int32: the hash bucket of each n-gram."""
    offsets: np.ndarray
    """int64, length texts + 1: where the n-grams of each text start."""
    tokens: np.ndarray
    """int64: number of tokens of each text."""


def ngrams(texts: pl.Series, settings: Dsir) -> Ngrams:
    """Hash the n-grams of every text into buckets. A null text counts as empty.

    With the feature `words`, tokens are those of `rows.text.tokens`, with 64-bit hashes. With `reference`, n-grams
    follow `data-selection` 1.0.2: tokens are NLTK's WordPunct tokens of the lower-case text, and a bucket is the
    SHA-256 of the tokens, joined by spaces, modulo the number of buckets.
    """
    from infinity_assets.selection.dsir import kernels

    if settings.features == "reference":
        # The reference lowercases in Python. Polars, in Rust, gives another result for some letters.
        lower = pl.Series([text.lower() if text else "" for text in texts], dtype=pl.String)
        data, where = to_utf8(lower)
        words = kernels.word_punct(data, where, _classes())
        buckets, offsets = kernels.sha256_buckets(data, *words, settings.ngram, settings.buckets)
        return Ngrams(buckets, offsets, np.diff(words[1]))
    tokens = hash_tokens(texts)
    buckets, offsets = kernels.hash_buckets(tokens.hashes, tokens.offsets, settings.ngram, settings.buckets)
    return Ngrams(buckets, offsets, np.diff(tokens.offsets))


@cache
def _classes() -> np.ndarray:
    """Return the character class of every code point (uint8)."""
    from infinity_assets.selection.dsir.kernels import SIGN, SPACE, WORD

    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    classes = np.full(0x110000, SIGN, np.uint8)
    for pattern, kind in ((r"\s", SPACE), (r"\w", WORD)):
        classes[[ord(letter) for letter in regex.findall(pattern, every)]] = kind
    return classes
