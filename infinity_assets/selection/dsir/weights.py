"""From n-grams to counts, which add up over shards, and from counts to importance weights."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from infinity_assets.selection.dsir.features import Ngrams, ngrams
from infinity_assets.settings.foundation import Dsir

EPSILON = 1e-8
"""Added to both probabilities before their logarithms are taken. (data-selection 1.0.2.)"""

DOUBLINGS = 32
"""Lengths from 1 to 2^32 tokens have a stratum; longer texts do not fit a Parquet file."""

PRIOR = 20.0
"""Prompts of the pool's own lengths that are added to the target's, so that no length has no share at all. (Ours.)"""

NGRAMS = pl.Schema({"side": pl.String, "name": pl.String, "feature": pl.String, "bucket": pl.Int64, "count": pl.Int64})
"""A count. `side` and `name`: `pool` and a domain, or `target` and a source. `feature`: `ngram`, of a hash bucket, or `length`, of a stratum."""

Part = tuple[str, str]
"""Side and name of what was counted."""


class Counts(NamedTuple):
    """What a set of texts holds. Counts of disjoint sets add up."""

    ngrams: np.ndarray
    """int64: n-grams by bucket."""
    lengths: np.ndarray
    """int64: texts that have a token, by stratum of length."""

    @classmethod
    def none(cls, settings: Dsir) -> Self:
        """Those of no text."""
        return cls(np.zeros(settings.buckets, np.int64), np.zeros(DOUBLINGS * settings.strata, np.int64))

    def plus(self, other: "Counts") -> "Counts":
        """Those of both sets."""
        return Counts(self.ngrams + other.ngrams, self.lengths + other.lengths)


class Fitted(NamedTuple):
    """A target held against a pool."""

    log_ratio: np.ndarray
    """float64: log p - log q by bucket."""
    shares: np.ndarray
    """float64: by stratum of length, the share of it that a draw is to have."""


def stratum(tokens: np.ndarray, settings: Dsir) -> np.ndarray:
    """The stratum of length of texts by their number of tokens (int64): so many to a doubling, and so the same in every shard."""
    places = np.log2(np.maximum(tokens, 1)) * settings.strata
    return np.minimum(places.astype(np.int64), DOUBLINGS * settings.strata - 1)


def count(texts: pl.Series, settings: Dsir) -> Counts:
    """The counts of some texts."""
    return counted(ngrams(texts, settings), np.ones(len(texts), np.bool_), settings)


def counted(found: Ngrams, wanted: np.ndarray, settings: Dsir) -> Counts:
    """The counts of those texts that are wanted (bool), given the n-grams of all."""
    from infinity_assets.selection.dsir.kernels import counts_of

    lengths = stratum(found.tokens[wanted & (found.tokens > 0)], settings)
    return Counts(
        counts_of(found.buckets, found.offsets, wanted, settings.buckets),
        np.bincount(lengths, minlength=DOUBLINGS * settings.strata),
    )


def fit(pool: Counts, target: Counts, settings: Dsir) -> Fitted:
    """What the weights towards a target are made of.

    With `smoothing` s, p is (counts of the target + s q) / (their sum + s): Dirichlet smoothing towards the pool. An n-gram that a small target
    happens not to hold then counts a little against a text, where the reference's 1e-8 forbids it. s = 0 is the reference.

    Args:
        pool: The raw pool, which gives q. It must hold an n-gram.
        target: The target, which gives p. It must hold an n-gram.
        settings: `smoothing` and `length`.
    """
    q = pool.ngrams / pool.ngrams.sum()
    p = (target.ngrams + settings.smoothing * q) / (target.ngrams.sum() + settings.smoothing)
    lengths = pool.lengths / pool.lengths.sum()
    if settings.length == "target":
        lengths = (target.lengths + PRIOR * lengths) / (target.lengths.sum() + PRIOR)
    return Fitted(np.log(p + EPSILON) - np.log(q + EPSILON), lengths)


def weigh(texts: pl.Series, fitted: Fitted, settings: Dsir) -> pl.DataFrame:
    """The importance of every text, in their order.

    Returns:
        prompt_tokens (Int64); log_weight (nats, not normalised by length; null for a text without a token); stratum of length (Int64) and the
        share of a draw that is to come from it. Without strata (`length: none`) there is one, whose share is 1.
    """
    from infinity_assets.selection.dsir.kernels import sums_of

    found = ngrams(texts, settings)
    place = stratum(found.tokens, settings) if settings.length != "none" else np.zeros(len(texts), np.int64)
    share = fitted.shares[place] if settings.length != "none" else np.ones(len(texts))
    return pl.DataFrame(
        {
            "prompt_tokens": found.tokens,
            "log_weight": sums_of(found.buckets, found.offsets, fitted.log_ratio),
            "stratum": place,
            "share": share,
        }
    ).with_columns(pl.when(pl.col("prompt_tokens") > 0).then(pl.col("log_weight", "stratum", "share")))


def to_frame(counts: Mapping[Part, Counts]) -> pl.DataFrame:
    """`NGRAMS`, sorted, zeros left out."""
    lines = [pl.DataFrame(schema=NGRAMS)]
    for (side, name), part in counts.items():
        for feature, numbers in (("ngram", part.ngrams), ("length", part.lengths)):
            bucket = np.flatnonzero(numbers)
            lines.append(
                pl.DataFrame(
                    {"side": side, "name": name, "feature": feature, "bucket": bucket, "count": numbers[bucket]},
                    schema=NGRAMS,
                )
            )
    return pl.concat(lines).sort(list(NGRAMS)[:4])


def from_frame(frame: pl.DataFrame, settings: Dsir) -> dict[Part, Counts]:
    """The counts of a table, or of several of `NGRAMS` one below the other, which adds them up."""
    found: dict[Part, Counts] = {}
    for (side, name, feature), lines in frame.group_by("side", "name", "feature"):
        part = found.setdefault((str(side), str(name)), Counts.none(settings))
        np.add.at(
            part.ngrams if feature == "ngram" else part.lengths, lines["bucket"].to_numpy(), lines["count"].to_numpy()
        )
    return found
