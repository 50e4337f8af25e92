"""Selection by facility location."""

import numpy as np
import polars as pl

from infinity_assets.selection.selector import Places, Ranking, find_places, selector
from infinity_assets.selection.selectors.ifd import ifd_column, ifd_conditions
from infinity_assets.selection.vectors import Matrix, to_matrix
from infinity_assets.settings import Foundation

_REFRESHED = 256
"""Rows whose upper bounds are updated in one batch."""


@selector(
    source="Superfiltering +Diversity, arXiv 2402.00530; lazy greedy of Minoux 1978",
    needs=("ifd", "ifd_perplexity", "vector"),
    settings=("selectors.facility_candidates", "selectors.ifd_scale", "selectors.max_ifd"),
    calls=("answer_in_context", "answer_alone"),
)
def facility(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The most representative rows among those of highest IFD, by greedy facility location in Euclidean distance."""
    rows = frame.sort("row_id")
    column = ifd_column(settings)
    conditions = {"no_vector": pl.col("vector").is_null(), **ifd_conditions(settings)}
    at = find_places(rows, conditions, -pl.col(column))
    at = np.sort(at[: max(settings.selectors.facility_candidates, 2 * size)])
    conditions["below_the_candidates"] = ~pl.col("row_id").is_in(rows["row_id"].gather(at).implode())
    return Ranking(rows, at[facilities(to_matrix(rows[at]["vector"]), size)], conditions, [column])


def facilities(vectors: Matrix, size: int) -> Places:
    """Pick rows by greedy facility location.

    Each pick maximizes the sum, over all rows, of the similarity to the nearest picked row. Similarity is exp(-distance
    / width), as in submodlib, which the reference code of Superfiltering calls. The gain of a row never grows from pick
    to pick, so an earlier gain is an upper bound (Minoux's lazy greedy).

    Args:
        vectors: Shape (rows, width). The earlier row wins ties.
        size: Number of rows to pick.

    Returns:
        The indices of the rows, in the order of the picks.
    """
    points = vectors.astype(np.float64)
    squares = np.square(points).sum(axis=1)
    served = np.zeros(len(points))

    def similarity(which: Places) -> Matrix:
        apart = squares[which][:, None] + squares[None, :] - 2 * (points[which] @ points.T)
        return np.exp(-np.sqrt(np.maximum(apart, 0)) / points.shape[1])

    def gains(which: Places) -> Matrix:
        return np.maximum(similarity(which) - served, 0).sum(axis=1)

    parts = [np.arange(s, min(s + _REFRESHED, len(points))) for s in range(0, len(points), _REFRESHED)]
    bound = np.concatenate([np.zeros(0), *(gains(part) for part in parts)])
    seen = np.zeros(len(points), np.int64)
    picked = []
    while len(picked) < min(size, len(points)):
        best = int(bound.argmax())
        if seen[best] == len(picked):
            picked.append(best)
            served = np.maximum(served, similarity(np.array([best]))[0])
            bound[best] = -np.inf
            continue
        top = np.union1d(np.argpartition(-bound, min(_REFRESHED // 4, len(bound) - 1))[: _REFRESHED // 4], best)
        stale = top[(seen[top] < len(picked)) & (bound[top] > -np.inf)]
        bound[stale] = gains(stale)
        seen[stale] = len(picked)
    return np.array(picked, np.int64)
