"""Counts of n-grams, which add up over shards, and the importance weights computed from them."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from infinity_assets.selection.dsir.features import Ngrams, ngrams
from infinity_assets.settings.foundation import Dsir

EPSILON = 1e-8
"""Added to both probabilities before taking their logarithms (data-selection 1.0.2)."""

DOUBLINGS = 32
"""Number of doublings that have strata: lengths from 1 to 2^32 tokens. Longer texts do not fit a Parquet file."""

PRIOR = 20.0
"""Prompts with the pool's lengths that are added to the target, so that no length has share 0 (our choice)."""

NGRAMS = pl.Schema({"side": pl.String, "name": pl.String, "feature": pl.String, "bucket": pl.Int64, "count": pl.Int64})
"""Grain: a count. `side` and `name` are `pool` and a domain, or `target` and a source. `feature` is `ngram` for the
count of a hash bucket, and `length` for the count of a stratum."""

Part = tuple[str, str]
"""Side and name of a set of texts, as in `NGRAMS`."""


class Counts(NamedTuple):
    """Counts of a set of texts. The counts of disjoint sets add up."""

    ngrams: np.ndarray
    """int64: number of n-grams per bucket."""
    lengths: np.ndarray
    """int64: number of texts with a token, per stratum of length."""

    @classmethod
    def zeros(cls, settings: Dsir) -> Self:
        """Return the counts of an empty set of texts."""
        return cls(np.zeros(settings.buckets, np.int64), np.zeros(DOUBLINGS * settings.strata, np.int64))

    def add(self, other: "Counts") -> "Counts":
        """Return the counts of both sets of texts together. The sets must be disjoint."""
        return Counts(self.ngrams + other.ngrams, self.lengths + other.lengths)


class Fitted(NamedTuple):
    """The weights of buckets and the shares of strata for a target and a pool."""

    log_ratio: np.ndarray
    """float64: log p - log q per bucket, where p and q are the shares of its n-grams in the target and in the pool."""
    shares: np.ndarray
    """float64: share of a draw that comes from each stratum of length."""


def stratum(tokens: np.ndarray, settings: Dsir) -> np.ndarray:
    """Return the stratum of each length in tokens (int64). There are `strata` of them per doubling of the length."""
    places = np.log2(np.maximum(tokens, 1)) * settings.strata
    return np.minimum(places.astype(np.int64), DOUBLINGS * settings.strata - 1)


def count(texts: pl.Series, settings: Dsir) -> Counts:
    """Count the n-grams and lengths of texts."""
    return count_selected(ngrams(texts, settings), np.ones(len(texts), np.bool_), settings)


def count_selected(grams: Ngrams, wanted: np.ndarray, settings: Dsir) -> Counts:
    """Count the n-grams and lengths of the texts whose `wanted` is true. `grams` has the n-grams of all texts."""
    from infinity_assets.selection.dsir.kernels import count_buckets

    lengths = stratum(grams.tokens[wanted & (grams.tokens > 0)], settings)
    return Counts(
        count_buckets(grams.buckets, grams.offsets, wanted, settings.buckets),
        np.bincount(lengths, minlength=DOUBLINGS * settings.strata),
    )


def fit(pool: Counts, target: Counts, settings: Dsir) -> Fitted:
    """Fit the weights of n-grams for a target. Both sets of counts must contain an n-gram.

    The weight of an n-gram is log p - log q, where p is its share of the target and q its share of the pool. With
    `smoothing` s, p is (counts of the target + s q) / (their sum + s): Dirichlet smoothing towards the pool. An n-gram
    that a small target lacks by chance then counts slightly against a text. The reference (s = 0) relies on the added
    1e-8 alone, which all but forbids such a text.
    """
    q = pool.ngrams / pool.ngrams.sum()
    p = (target.ngrams + settings.smoothing * q) / (target.ngrams.sum() + settings.smoothing)
    lengths = pool.lengths / pool.lengths.sum()
    if settings.length == "target":
        lengths = (target.lengths + PRIOR * lengths) / (target.lengths.sum() + PRIOR)
    return Fitted(np.log(p + EPSILON) - np.log(q + EPSILON), lengths)


def weigh(texts: pl.Series, fitted: Fitted, settings: Dsir) -> pl.DataFrame:
    """Compute the importance weight of every text.

    Returns:
        One line per text, in their order: prompt_tokens (Int64), log_weight (nats, not normalized by length), stratum
        (of length, Int64) and share (of a draw that comes from the stratum). The last three are null for a text without
        a token. With `length: none` there is one stratum, with share 1.
    """
    from infinity_assets.selection.dsir.kernels import sum_values

    grams = ngrams(texts, settings)
    place = stratum(grams.tokens, settings) if settings.length != "none" else np.zeros(len(texts), np.int64)
    share = fitted.shares[place] if settings.length != "none" else np.ones(len(texts))
    weight = sum_values(grams.buckets, grams.offsets, fitted.log_ratio)
    weighed = pl.DataFrame({"prompt_tokens": grams.tokens, "log_weight": weight, "stratum": place, "share": share})
    return weighed.with_columns(pl.when(pl.col("prompt_tokens") > 0).then(pl.col("log_weight", "stratum", "share")))


def to_frame(counts: Mapping[Part, Counts]) -> pl.DataFrame:
    """Convert counts to a sorted table of schema `NGRAMS`, without zeros."""
    lines = [pl.DataFrame(schema=NGRAMS)]
    for (side, name), part in counts.items():
        for feature, numbers in (("ngram", part.ngrams), ("length", part.lengths)):
            bucket = np.flatnonzero(numbers)
            line = {"side": side, "name": name, "feature": feature, "bucket": bucket, "count": numbers[bucket]}
            lines.append(pl.DataFrame(line, schema=NGRAMS))
    return pl.concat(lines).sort(list(NGRAMS)[:4])


def from_frame(frame: pl.DataFrame, settings: Dsir) -> dict[Part, Counts]:
    """Read the counts from a table of schema `NGRAMS`. Lines with equal keys, as in concatenated tables, add up."""
    counts: dict[Part, Counts] = {}
    for (side, name, feature), lines in frame.group_by("side", "name", "feature"):
        part = counts.setdefault((str(side), str(name)), Counts.zeros(settings))
        numbers = part.ngrams if feature == "ngram" else part.lengths
        np.add.at(numbers, lines["bucket"].to_numpy(), lines["count"].to_numpy())
    return counts
