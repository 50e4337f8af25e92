"""Diversity: of rows whose embeddings are close, only the one ranked highest stays (the Repr filter of Deita, arXiv 2312.15685).

hnswlib finds the candidate neighbours; their cosine is then computed exactly, and a walk in rank order decides. Who survives so depends on
the ranking alone, never on the shape of the graph. Equal vectors are merged before they are indexed: hnswlib can hang on them with several
threads (nmslib/hnswlib #389).
"""

from typing import Any

import numpy as np
import polars as pl

_LINKS, _EFFORT, _SEED = 16, 200, 100
_ROUNDING = 1e-3
"""hnswlib adds up in single precision: what it puts this close to the threshold is computed again."""
_CROWD = 512
"""Neighbours looked at per row at the most: a bound on memory where thousands of rows are alike."""
_LOSERS = {"index": pl.Int64, "of": pl.Int64, "similarity": pl.Float64}


def near_duplicates(vectors: np.ndarray, threshold: float, neighbours: int) -> pl.DataFrame:
    """Rows that are too close to a row ranked above them.

    Args:
        vectors: Unit vectors, shape (rows, dimensions), in rank order, best first.
        threshold: Cosine above which two rows are too close.
        neighbours: Neighbours looked at per row to begin with; rows in a crowd are looked at further.

    Returns:
        One line per loser: index, of (index of the survivor it is closest to), similarity.
    """
    losers = pl.DataFrame(schema=_LOSERS)
    alive = np.arange(len(vectors))
    # One walk sees every close pair, except in crowds of more than `_CROWD`: what stays of those is walked again.
    while len(alive) > 1 and (found := _walk(vectors[alive], threshold, neighbours)).height:
        back = found.with_columns(pl.col(c).replace_strict(np.arange(len(alive)), alive, return_dtype=pl.Int64) for c in ("index", "of"))
        losers = pl.concat([losers, back])
        alive = np.setdiff1d(alive, back["index"].to_numpy())
    return losers.sort("index")


def _walk(vectors: np.ndarray, threshold: float, neighbours: int) -> pl.DataFrame:
    """One walk in rank order: every row with a close one above it that has not lost itself."""
    pairs = _close_pairs(vectors, threshold, neighbours)
    lost: dict[int, tuple[int, float]] = {}
    # Only rows with a close neighbour are walked: a few per cent of the pool.
    for index, others, similarities in pairs.group_by("index", maintain_order=True).agg("of", "similarity").iter_rows():
        alive = [(similarity, -of) for of, similarity in zip(others, similarities, strict=True) if of not in lost]
        if alive:
            similarity, of = max(alive)
            lost[index] = (-of, similarity)
    return pl.DataFrame([(i, of, s) for i, (of, s) in lost.items()], schema=_LOSERS, orient="row")


def _close_pairs(vectors: np.ndarray, threshold: float, neighbours: int) -> pl.DataFrame:
    """Pairs (index, of) with of < index and a cosine above the threshold, sorted."""
    import hnswlib

    distinct, first, inverse = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(distinct), ef_construction=_EFFORT, M=_LINKS, random_seed=_SEED)
    # One thread: the graph, and with it which neighbours are found, must not depend on timing.
    index.add_items(distinct, np.arange(len(distinct)), num_threads=1)
    left, right, similarity = _candidates(index, distinct, threshold, neighbours)
    unsure = np.flatnonzero(abs(similarity - threshold) < _ROUNDING)
    similarity[unsure] = np.einsum("ij,ij->i", distinct[left[unsure]], distinct[right[unsure]], dtype=np.float64)
    close = similarity > threshold
    left, right, similarity = left[close], right[close], similarity[close]
    # Both directions, so that a neighbour found from one side only counts too. Of equal vectors the best-ranked row stands for all, and
    # is close to the others itself; these are close to what it is close to.
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


def _candidates(index: Any, vectors: np.ndarray, threshold: float, neighbours: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of vectors that the graph takes for close, and their cosines. A vector whose neighbours are all close is asked for more of them."""
    asked, k = np.arange(len(vectors)), neighbours + 1
    left, right, similarity = [], [], []
    while len(asked):
        k = min(k, len(vectors), max(_CROWD, neighbours + 1))
        index.set_ef(max(2 * k, _EFFORT))
        found, distances = index.knn_query(vectors[asked], k=k)
        close = 1 - distances > threshold - _ROUNDING
        more = close.all(axis=1) & (k < min(len(vectors), _CROWD))
        rows, columns = np.nonzero(close & ~more[:, None] & (found != asked[:, None]))
        left.append(asked[rows])
        right.append(found[rows, columns].astype(np.int64))
        similarity.append(1 - distances[rows, columns].astype(np.float64))
        asked, k = asked[more], 4 * k
    return np.concatenate(left), np.concatenate(right), np.concatenate(similarity)
