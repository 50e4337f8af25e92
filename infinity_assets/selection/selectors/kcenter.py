"""Selection by farthest-first traversal."""

import numpy as np
import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.selector import Places, Ranking, find_places, selector
from infinity_assets.selection.vectors import Matrix, to_matrix
from infinity_assets.settings import Foundation

_BLOCK = 8192
"""Rows per batch of a matrix product."""
_REFRESHED = 256
"""Minimum number of rows whose upper bounds are updated in one batch."""


@selector(
    source="Gonzalez 1985; k-center greedy of Sener and Savarese, arXiv 1708.00489",
    needs=("vector",),
    settings=("selectors.kcenter_candidates",),
)
def kcenter(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The row nearest to the mean vector, then repeatedly the row furthest from all rows taken."""
    rows = frame.sort("row_id")
    rows = rows.with_columns(draw("selector:kcenter", rows["row_id"]))
    unknown = pl.col("vector").is_null()
    turn = pl.col("draw").rank("ordinal").over(unknown)
    conditions = {"no_vector": unknown, "not_a_candidate": turn > settings.selectors.kcenter_candidates}
    at = find_places(rows, conditions, pl.lit(0))
    return Ranking(rows, at[k_centers(to_matrix(rows[at]["vector"]), size)], conditions)


def k_centers(vectors: Matrix, size: int) -> Places:
    """Find centres by farthest-first traversal in Euclidean distance.

    The distance of a row to the nearest centre never grows, so an earlier distance is an upper bound. Only the rows
    with the greatest bounds are updated. The furthest of them is the next centre once no other bound exceeds its
    distance. In double precision, every product of two half-precision numbers is exact.

    Args:
        vectors: Shape (rows, width). The earlier row wins ties.
        size: Number of centres.

    Returns:
        The indices of the centres, in the order of the traversal.
    """
    rows = len(vectors)
    if not min(size, rows):
        return np.zeros(0, np.int64)
    squares = np.concatenate(
        [np.square(vectors[s : s + _BLOCK].astype(np.float64)).sum(axis=1) for s in range(0, rows, _BLOCK)]
    )
    mean = np.zeros(vectors.shape[1])
    for start in range(0, rows, _BLOCK):
        mean += vectors[start : start + _BLOCK].astype(np.float64).sum(axis=0) / rows

    def squared(which: Places, points: Matrix, lengths: Matrix) -> Matrix:
        return squares[which][:, None] + lengths[None, :] - 2 * (vectors[which].astype(np.float64) @ points.T)

    centres = np.empty((min(size, rows), vectors.shape[1]))
    lengths = np.empty(len(centres))
    everything = np.arange(rows)
    to_mean = np.concatenate(
        [squared(everything[s : s + _BLOCK], mean[None], mean[None] @ mean)[:, 0] for s in range(0, rows, _BLOCK)]
    )
    picked = [int(to_mean.argmin())]
    bound = np.full(rows, np.inf)
    seen = np.zeros(rows, np.int64)
    while True:
        centres[len(picked) - 1] = vectors[picked[-1]]
        lengths[len(picked) - 1] = squares[picked[-1]]
        bound[picked[-1]] = -np.inf
        seen[picked[-1]] = len(picked)
        if len(picked) == len(centres):
            return np.array(picked)
        while True:
            # Update the rows with the greatest bounds, including ties. The furthest is the next centre if no other
            # bound exceeds it.
            at_least = np.partition(bound, -min(_REFRESHED, rows))[-min(_REFRESHED, rows)]
            top = np.flatnonzero(bound >= max(at_least, -1.0))
            stale = top[seen[top] < len(picked)]
            for part in np.split(stale, range(_BLOCK, len(stale), _BLOCK)):
                first = int(seen[part].min(initial=len(picked)))
                if first < len(picked):
                    near = squared(part, centres[first : len(picked)], lengths[first : len(picked)]).min(axis=1)
                    bound[part] = np.minimum(bound[part], np.maximum(near, 0))
            seen[stale] = len(picked)
            furthest = bound.argmax()
            if seen[furthest] == len(picked):
                picked.append(int(furthest))
                break
