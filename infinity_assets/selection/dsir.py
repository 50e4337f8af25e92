"""DSIR: data selection by importance resampling (Xie et al., arXiv 2302.03169), in its plain form.

A text is a bag of hashed unigrams and bigrams. p is their distribution in the target, q in the raw pool; a row's importance weight is
log w(x) = sum over its n-grams of log p - log q. Rows are drawn without replacement by adding Gumbel noise to the weight and taking the
largest, which merges over shards. Unlike the reference package the noise is seeded per row id, and p is smoothed towards q: a target of 40
prompts leaves most buckets empty, and an n-gram it happens not to hold should count a little against a text, not forbid it. A weight is a sum
and so depends on the length of its text: rows are ranked within strata of equal length.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.rows.text import tokens, word_count


@dataclass(frozen=True)
class _Grams:
    """The n-grams of a list of texts, flat: the text each belongs to, and its bucket."""

    text: np.ndarray
    bucket: np.ndarray


def _grams(texts: pl.Series, buckets: int) -> _Grams:
    lists = texts.to_frame("text").select(tokens(pl.col("text"))).to_series()
    lengths = lists.list.len().to_numpy().astype(np.int64)
    words = lists.filter(lists.list.len() > 0).explode()
    owner = np.repeat(np.arange(len(lengths)), lengths)
    if not len(words):
        return _Grams(owner, owner)
    hashes = words.hash(seed=0).to_numpy()
    together = owner[1:] == owner[:-1]
    with np.errstate(over="ignore"):
        pairs = (hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + hashes[1:])[together]
    modulus = np.uint64(buckets)
    return _Grams(np.concatenate([owner, owner[1:][together]]), np.concatenate([hashes % modulus, pairs % modulus]).astype(np.int64))


def log_weights(prompts: pl.Series, target: pl.Series, buckets: int, smoothing: float) -> np.ndarray:
    """The log importance weight of every prompt.

    Args:
        prompts: The raw pool's prompts, which also give q.
        target: The target's prompts, which give p.
        buckets: Hash buckets.
        smoothing: Pseudo-n-grams distributed as q that are added to the target.

    Returns:
        One number per prompt, in their order, in nats; not normalised by length.
    """
    raw, aim = _grams(prompts, buckets), _grams(target, buckets)
    if not len(raw.bucket):
        return np.zeros(len(prompts))
    q = np.bincount(raw.bucket, minlength=buckets) / len(raw.bucket)
    p = (np.bincount(aim.bucket, minlength=buckets) + smoothing * q) / (len(aim.bucket) + smoothing)
    seen = raw.bucket  # q is positive wherever a prompt has an n-gram
    return np.bincount(raw.text, weights=np.log(p[seen]) - np.log(q[seen]), minlength=len(prompts))


def gumbel_rank(weights: np.ndarray, prompts: pl.Series, row_ids: pl.Series, stage: str, strata: int = 5) -> np.ndarray:
    """Ranks whose k lowest are a draw of k rows without replacement, by weight, from every stratum of length alike.

    Args:
        weights: Log weights, as `log_weights` gives them.
        prompts: The texts, whose number of tokens makes the strata.
        row_ids: The rows' ids, which with the stage seed the noise.
        stage: Name of the draw.
        strata: Number of strata, of equal size.

    Returns:
        One number per row in (0, 1], the share of its stratum that is drawn before or with it.
    """
    uniform = np.clip(draw(stage, row_ids).to_numpy(), 1e-12, 1 - 1e-12)
    frame = pl.DataFrame({"noisy": weights - np.log(-np.log(uniform)), "prompt": prompts, "row_id": row_ids})
    # The row id breaks ties of length, so that the strata do not depend on the order of the rows.
    place = pl.struct(word_count(pl.col("prompt")), "row_id").rank("ordinal") - 1
    frame = frame.with_columns((place.cast(pl.Int64) * strata // pl.len()).alias("stratum"))
    rank = (pl.col("noisy").rank("ordinal", descending=True) / pl.len()).over("stratum")
    return frame.select(rank).to_series().to_numpy()
