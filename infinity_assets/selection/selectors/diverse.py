"""Selectors that pick rows one by one, comparing each with the rows picked before.

All are greedy: the rows at one size are the first rows at a larger size, and the lower row id wins ties.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.diversity import ReprFilter
from infinity_assets.selection.selectors.ranked import ifd_column, ifd_conditions
from infinity_assets.selection.selectors.verdicts import first_condition, mark_chosen
from infinity_assets.settings import Foundation

_BLOCK = 8192
"""Rows per batch of a comparison."""
_REFRESHED = 256
"""Rows whose bounds are updated together."""

Vectors = npt.NDArray[np.floating]
Places = npt.NDArray[np.int64]


def deita(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending complexity times quality, without rows close to one taken before."""
    conditions = {
        "no_complexity": pl.col("complexity").is_null(),
        "no_quality": pl.col("quality").is_null(),
        "no_vector": pl.col("vector").is_null(),
    }
    scored = frame.sort("row_id").with_columns((pl.col("complexity") * pl.col("quality")).alias("evol_score"))
    at = _places(scored, first_condition(conditions).is_null(), -pl.col("evol_score"))
    candidates = scored[at]
    taken, lost = ReprFilter(settings.selectors.deita_similarity).walk(
        candidates["row_id"], _vectors(candidates), np.ones(len(at), bool), size
    )
    near = pl.col("row_id").is_in(lost["row_id"].implode())
    return mark_chosen(
        scored, "deita", size, at[taken], conditions | {"near_duplicate": near}, ["complexity", "quality", "evol_score"]
    )


def instag(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take rows by descending number of labels, in passes; within a pass each row has to add a new label."""
    from infinity_assets.selection.selectors.kernels import passes

    conditions = {"no_labels": pl.col("ability").list.len().fill_null(0) == 0}
    rows = frame.sort("row_id").with_columns(pl.col("ability").list.unique().list.len().alias("labels"))
    at = _places(rows, first_condition(conditions).is_null(), -pl.col("labels").cast(pl.Int64))
    lists = rows["ability"].gather(at)
    names = lists.explode(empty_as_null=False, keep_nulls=False)
    numbers = names.rank("dense").to_numpy().astype(np.int32) - 1
    starts = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy().astype(np.int64))])
    chosen = passes(starts, numbers, int(numbers.max(initial=-1)) + 1, size)
    return mark_chosen(rows, "instag", size, at[chosen], conditions, ["labels"])


def kcenter(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take the row nearest to the mean, then repeatedly the row furthest from all rows taken."""
    bound = settings.selectors.kcenter_candidates
    rows = frame.sort("row_id")
    rows = rows.with_columns(draw("selector:kcenter", rows["row_id"]))
    rows = rows.with_columns(pl.col("draw").rank("ordinal").over(pl.col("vector").is_null()).alias("turn"))
    conditions = {"no_vector": pl.col("vector").is_null(), "not_a_candidate": pl.col("turn") > bound}
    at = np.flatnonzero(rows.select(first_condition(conditions).is_null()).to_series())
    return mark_chosen(rows, "kcenter", size, at[k_centers(_vectors(rows[at]), size)], conditions)


def facility(frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Take the most representative rows among those of highest IFD: greedy facility location."""
    rows = frame.sort("row_id")
    conditions = {"no_vector": pl.col("vector").is_null(), **ifd_conditions(settings)}
    at = _places(rows, first_condition(conditions).is_null(), -pl.col(ifd_column(settings)))
    at = np.sort(at[: max(settings.selectors.facility_candidates, 2 * size)])
    conditions["below_the_candidates"] = ~pl.col("row_id").is_in(rows["row_id"].gather(at).implode())
    return mark_chosen(
        rows, "facility", size, at[facilities(_vectors(rows[at]), size)], conditions, [ifd_column(settings)]
    )


def k_centers(vectors: Vectors, size: int) -> Places:
    """Find centres by farthest-first traversal in Euclidean distance.

    Distances to the centres only shrink, so an old distance is an upper bound. Only the rows with the greatest bounds
    are updated; the furthest of them is the next centre once no bound exceeds its distance. In double precision, every
    product of half-precision vectors is exact.

    Args:
        vectors: Shape (rows, width); the earlier row wins ties.
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

    def squared(which: Places, points: Vectors, lengths: Vectors) -> Vectors:
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


def facilities(vectors: Vectors, size: int) -> Places:
    """Pick rows by greedy facility location.

    Each pick maximizes the sum, over all rows, of the similarity to the nearest picked row. Similarity is
    exp(-distance / width), as in submodlib, which the reference code of Superfiltering calls. Gains only shrink, so an
    old gain is an upper bound (Minoux's lazy greedy).

    Args:
        vectors: Shape (rows, width); the earlier row wins ties.
        size: Rows to pick.

    Returns:
        The indices of the rows, in the order of the picks.
    """
    points = vectors.astype(np.float64)
    squares = np.square(points).sum(axis=1)
    served = np.zeros(len(points))

    def similarity(which: Places) -> Vectors:
        apart = squares[which][:, None] + squares[None, :] - 2 * (points[which] @ points.T)
        return np.exp(-np.sqrt(np.maximum(apart, 0)) / points.shape[1])

    def gains(which: Places) -> Vectors:
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


def _places(rows: pl.DataFrame, wanted: pl.Expr, order: pl.Expr) -> Places:
    """Return the indices of the wanted rows in this order. The frame is sorted by row id, which breaks ties."""
    keyed = rows.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("at"), wanted.alias("wanted"), order.alias("key"))
    return keyed.filter("wanted").sort("key", "at")["at"].to_numpy()


def _vectors(rows: pl.DataFrame) -> Vectors:
    return rows["vector"].to_numpy().reshape(rows.height, -1) if rows.height else np.zeros((0, 1), np.float16)
