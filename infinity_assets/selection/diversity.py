"""Diversity: of rows whose embeddings are close, only the one ranked highest stays (the Repr filter of Deita, arXiv 2312.15685).

A walk in rank order decides over the close pairs (`dedup.close_pairs`): who survives depends on the ranking alone.
"""

import numpy as np
import polars as pl

from infinity_assets.dedup.close_pairs import close_pairs

_CROWD = 512
"""Neighbours looked at per row: a bound on memory where thousands of rows are alike."""
_LOSERS = {"index": pl.Int64, "of": pl.Int64, "similarity": pl.Float64}


def near_duplicates(vectors: np.ndarray, threshold: float) -> pl.DataFrame:
    """Rows that are too close to a row ranked above them.

    Args:
        vectors: Unit vectors, shape (rows, dimensions), in rank order, best first.
        threshold: Cosine above which two rows are too close.

    Returns:
        One line per loser: index, of (index of the survivor it is closest to), similarity.
    """
    losers = pl.DataFrame(schema=_LOSERS)
    alive = np.arange(len(vectors))
    # One walk sees every close pair, except in crowds of more than `_CROWD`: what stays of those is walked again.
    while len(alive) > 1 and (found := _walk(vectors[alive], threshold)).height:
        back = found.with_columns(pl.col(c).replace_strict(np.arange(len(alive)), alive, return_dtype=pl.Int64) for c in ("index", "of"))
        losers = pl.concat([losers, back])
        alive = np.setdiff1d(alive, back["index"].to_numpy())
    return losers.sort("index")


def _walk(vectors: np.ndarray, threshold: float) -> pl.DataFrame:
    """One walk in rank order: every row with a close one above it that has not lost itself."""
    pairs = _close_pairs(vectors, threshold)
    lost: dict[int, tuple[int, float]] = {}
    # Only rows with a close neighbour are walked: a few per cent of the pool.
    for index, others, similarities in pairs.group_by("index", maintain_order=True).agg("of", "similarity").iter_rows():
        alive = [(similarity, -of) for of, similarity in zip(others, similarities, strict=True) if of not in lost]
        if alive:
            similarity, of = max(alive)
            lost[index] = (-of, similarity)
    return pl.DataFrame([(i, of, s) for i, (of, s) in lost.items()], schema=_LOSERS, orient="row")


def _close_pairs(vectors: np.ndarray, threshold: float) -> pl.DataFrame:
    """Pairs (index, of) with of < index and a cosine above the threshold, sorted."""
    distinct, first, inverse = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    left, right, similarity = close_pairs([distinct], threshold, _CROWD)
    close = similarity > threshold
    left, right, similarity = left[close], right[close], similarity[close].astype(np.float64)
    # Of equal vectors the best-ranked row stands for all, and is close to the others itself; these are close to what it is close to.
    itself, one = np.arange(len(distinct)), np.ones(len(distinct))
    near = pl.DataFrame(
        {
            "vector": np.concatenate([left, right, itself]),
            "of": first[np.concatenate([right, left, itself])],
            "similarity": np.concatenate([similarity, similarity, one]),
        }
    )
    rows = pl.DataFrame({"vector": inverse, "index": np.arange(len(vectors))})
    pairs = rows.join(near, on="vector").filter(pl.col("of") < pl.col("index")).select("index", "of", "similarity")
    return pairs.unique(["index", "of"], keep="first", maintain_order=True).sort("index", "of")
