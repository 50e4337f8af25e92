"""Search for pairs of vectors with a high cosine: exact for small tables, approximate (hnswlib) for large ones.

**Exact.** The search first computes an upper bound of every pair's cosine. It rotates the vectors to their principal
axes, keeps the first axes, and replaces the other coordinates by their length. By the Cauchy-Schwarz inequality, the
scalar product of two such shortened vectors is at least the cosine. Only pairs whose bound reaches the minimum are
computed in full.

**Approximate.** hnswlib only proposes neighbors; their cosines decide. Equal vectors are merged before they are
indexed, because hnswlib can hang on them with several threads (nmslib/hnswlib #389). One thread builds the index, in
the order of the rows.

Cosines are computed in double precision. It holds products of half-precision numbers, and sums of up to some thousand
products, exactly. The exact search therefore gives the same bits on every machine, with any number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

_ROWS, _COLUMNS = 1024, 8192
"""Rows and columns of a block of the matrix of bounds: 32 MB in single precision."""
_AXES = 128
"""Number of principal axes kept. With half as many, the bounds take hardly less time, but six times as many pairs must
be computed in full."""
_SAMPLE = 20_000
"""Number of vectors from which the axes are computed. The axes affect the speed, never the result."""
_SLACK = 1e-3
"""Maximum error of a bound in single precision, or of a cosine from hnswlib."""
_DENSE = 1 << 16
"""Number of candidates in a block above which cosines in single precision exclude some before the full computation."""
_FINE = 1e-4
"""Maximum error of a cosine in single precision."""
_CHUNK = 8192
"""Number of pairs (or vectors) that are computed at a time in double precision."""
_BUFFER = 1 << 23
"""Number of pairs in memory above which the weakest pairs of rows with too many pairs are dropped."""
EFFORT = 200
"""Minimum number of candidates that hnswlib considers when it adds or looks up a vector."""

Views = Sequence[npt.NDArray[np.floating]]
"""One or several matrices with one vector per row of a table, such as the vectors of its prompts and of its answers."""


class Pairs(NamedTuple):
    """Pairs of rows, as indices with left < right, and the similarity of each pair: the lowest cosine of its views."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


def find_close_pairs(
    views: Views,
    floor: float,
    most: int,
    *,
    keys: npt.NDArray[np.uint64] | None = None,
    groups: npt.NDArray[np.integer] | None = None,
    fresh: npt.NDArray[np.bool_] | None = None,
    exact_up_to: int = 1_000_000,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Pairs:
    """Return the pairs of rows whose similarity is at least `floor`.

    Args:
        views: Matrices of non-zero vectors, each of shape (rows, width). The similarity of two rows is the lowest
            cosine of their views.
        floor: Minimum similarity.
        most: A pair is kept if it is among the `most` most similar pairs of at least one of its rows.
        keys: One number per row that breaks ties and does not depend on the row's position. Default: the position.
        groups: One number per row. Rows with different numbers do not form a pair.
        fresh: Mask of rows. If given, only pairs with at least one of these rows are returned.
        exact_up_to: Maximum number of rows for the exact search. Above it, hnswlib may miss some pairs.
        advance: Called with the completed and the total amount of work.

    Returns:
        The pairs, sorted by left and right. Those of the approximate search also depend on the version of hnswlib.
    """
    rows = len(views[0])
    keys = np.arange(rows, dtype=np.uint64) if keys is None else keys
    pairs = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    if rows < 2:
        return pairs
    measured = [_measure(view) for view in views]
    every, proposed = _bounded(views, floor, most, groups, fresh, advance), _proposed(views, floor, most, advance)
    for left, right in every if rows <= exact_up_to else proposed:
        left, right = np.minimum(left, right), np.maximum(left, right)
        wanted = np.ones(len(left), bool) if groups is None else groups[left] == groups[right]
        if fresh is not None:
            wanted &= fresh[left] | fresh[right]
        left, right = left[wanted], right[wanted]
        cosine = np.minimum.reduce([_cosines(view, view, left, right) for view in measured])
        near = cosine >= floor
        pairs = concat_pairs(pairs, Pairs(left[near], right[near], cosine[near].astype(np.float32)))
        if len(pairs.left) > _BUFFER:
            pairs = keep_strongest(pairs, rows, most, keys)
    _, once = np.unique(pairs.left * rows + pairs.right, return_index=True)
    return keep_strongest(Pairs(pairs.left[once], pairs.right[once], pairs.similarity[once]), rows, most, keys)


def concat_pairs(one: Pairs, other: Pairs) -> Pairs:
    """Concatenate two tables of pairs."""
    left, right = np.concatenate([one.left, other.left]), np.concatenate([one.right, other.right])
    return Pairs(left, right, np.concatenate([one.similarity, other.similarity]))


def keep_strongest(pairs: Pairs, rows: int, most: int, keys: npt.NDArray[np.uint64]) -> Pairs:
    """Return the pairs that are among the `most` most similar pairs of at least one of their two rows.

    `keys` breaks ties. Tables of pairs may be reduced before they are concatenated; the result is the same.
    """
    ends, others = np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])
    crowded = np.bincount(ends, minlength=rows) > most
    if not crowded.any():
        return pairs
    number = np.tile(np.arange(len(pairs.left)), 2)
    kept = ~crowded[pairs.left] | ~crowded[pairs.right]
    crowd = np.flatnonzero(crowded[ends])
    ends, others, number = ends[crowd], others[crowd], number[crowd]
    # Ties are broken by a key of the pair. A key of the other row alone would give all rows with equal vectors the same
    # few neighbors.
    order = np.lexsort((keys[ends] ^ keys[others], -pairs.similarity[number], ends))
    ends, number = ends[order], number[order]
    place = np.arange(len(ends)) - np.searchsorted(ends, ends)
    kept[number[place < most]] = True
    return Pairs(pairs.left[kept], pairs.right[kept], pairs.similarity[kept])


def find_nearest(
    queries: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.floating],
    floor: float,
    most: int,
    keys: npt.NDArray[np.uint64] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Find the vectors nearest to each query, by an exact search.

    Args:
        queries, vectors: Shapes (queries, width) and (rows, width).
        floor, most: Minimum cosine, and maximum number of vectors per query.
        keys: One number per vector, to break ties. Default: its position.
        advance: Called with the number of vectors searched and their total.

    Returns:
        Columns query and row (indices), similarity (Float32); sorted by query, the most similar vector first.
    """
    keys = np.arange(len(vectors), dtype=np.uint64) if keys is None else keys
    schema = {"query": pl.Int64, "row": pl.Int64, "similarity": pl.Float32}
    asked, measured_queries, measured_vectors = _unit(queries), _measure(queries), _measure(vectors)
    best = {above: pl.DataFrame(schema={**schema, "key": pl.UInt64}) for above in range(0, len(queries), _ROWS)}
    for start in range(0, len(vectors), _COLUMNS):
        across = _unit(vectors[start : start + _COLUMNS]).T
        for above, mine in best.items():
            product = asked[above : above + _ROWS] @ across
            least = np.full(len(product), floor)
            if product.shape[1] > most and (product >= floor).sum() > _DENSE:
                # A vector among the best of all is also among the best of its block.
                least = np.maximum(floor, np.partition(product, -most, axis=1)[:, -most])
            query, row = np.nonzero(product >= (least - _FINE)[:, None])
            query, row = query + above, row + start
            cosine = _cosines(measured_queries, measured_vectors, query, row)
            near = cosine >= floor
            query, row, cosine = query[near], row[near], cosine[near].astype(np.float32)
            close = {"query": query, "row": row, "similarity": cosine, "key": keys[row]}
            ranked = pl.concat([mine, pl.DataFrame(close)]).sort("query", pl.col("similarity") * -1, "key", "row")
            best[above] = ranked.filter(pl.int_range(pl.len()).over("query") < most)
        advance(min(start + _COLUMNS, len(vectors)), len(vectors))
    return pl.concat([pl.DataFrame(schema=schema), *(part.drop("key") for part in best.values())])


class _Measured(NamedTuple):
    """Vectors and their squared lengths."""

    vectors: npt.NDArray[np.floating]
    squares: npt.NDArray[np.float64]


def _measure(vectors: npt.NDArray[np.floating]) -> _Measured:
    """Compute squared lengths, with 1 instead of 0, so that the cosine of a zero vector is 0 instead of NaN."""
    squares = [np.zeros(0)]
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK].astype(np.float64)
        squares.append(np.einsum("ij,ij->i", part, part))
    every = np.concatenate(squares)
    return _Measured(vectors, np.where(every > 0, every, 1.0))


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    single = np.asarray(vectors).astype(np.float32)
    return single / np.maximum(np.linalg.norm(single, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _join_views(views: Views, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return one vector per row. The scalar product of two is the mean cosine of their views, at least the lowest."""
    return np.hstack([_unit(view[rows]) for view in views]) / np.float32(np.sqrt(len(views)))


def _cosines(
    one: _Measured, other: _Measured, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    cosines = np.empty(len(left))
    for start in range(0, len(left), _CHUNK):
        i, j = left[start : start + _CHUNK], right[start : start + _CHUNK]
        product = np.einsum("ij,ij->i", one.vectors[i].astype(np.float64), other.vectors[j].astype(np.float64))
        cosines[start : start + _CHUNK] = product / np.sqrt(one.squares[i] * other.squares[j])
    return cosines


Candidates = Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def _bounded(
    views: Views,
    floor: float,
    most: int,
    groups: npt.NDArray[np.integer] | None,
    fresh: npt.NDArray[np.bool_] | None,
    advance: Callable[[int, int], None],
) -> Candidates:
    """Yield the pairs whose upper bound reaches `floor`, without repetition."""
    rows = len(views[0])
    sample = _join_views(views, np.arange(0, rows, max(1, rows // _SAMPLE)))
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = axes[:, ::-1][:, :_AXES]
    # Fresh rows come first, so that every block of them is compared with itself and with all later rows.
    order = np.arange(rows) if fresh is None else np.concatenate([np.flatnonzero(fresh), np.flatnonzero(~fresh)])
    asked = rows if fresh is None else int(fresh.sum())
    short = np.empty((rows, axes.shape[1] + 1), np.float32)
    for start in range(0, rows, _COLUMNS):
        whole = _join_views(views, order[start : start + _COLUMNS])
        kept = whole @ axes
        rest = np.einsum("ij,ij->i", whole, whole) - np.einsum("ij,ij->i", kept, kept)
        short[start : start + _COLUMNS] = np.column_stack([kept, np.sqrt(np.maximum(rest, 0))])
    for start in range(0, asked, _ROWS):
        block = short[start : min(start + _ROWS, asked)]
        for across in range(start, rows, _COLUMNS):
            bound = block @ short[across : across + _COLUMNS].T
            one, other = np.divmod(np.flatnonzero(bound.ravel() >= floor - _SLACK), bound.shape[1])
            left, right = order[one + start], order[other + across]
            wanted = one + start < other + across
            if groups is not None:
                wanted &= groups[left] == groups[right]
            if wanted.sum() > _DENSE:
                above, below = order[start : start + len(block)], order[across : across + _COLUMNS]
                wanted[wanted] = _promising(views, above, below, one[wanted], other[wanted], floor, most)
            yield left[wanted], right[wanted]
        advance(min(start + _ROWS, asked), asked)


def _promising(
    views: Views,
    above: npt.NDArray[np.int64],
    below: npt.NDArray[np.int64],
    one: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64],
    floor: float,
    most: int,
) -> npt.NDArray[np.bool_]:
    """Return a mask of the candidate pairs that can reach `floor` and be among the `most` best of one of their rows."""
    cosine = np.full(len(one), np.inf, np.float32)
    for view in views:
        np.minimum(cosine, (_unit(view[above]) @ _unit(view[below]).T)[one, other], out=cosine)
    block = np.full((len(above), len(below)), -np.inf, np.float32)
    block[one, other] = cosine
    wanted = cosine >= floor - _FINE
    if block.size > most * sum(block.shape):
        weakest = np.full(len(cosine), np.inf, np.float32)
        for axis, place in ((1, one), (0, other)):
            if block.shape[axis] > most:
                weakest = np.minimum(weakest, np.take(np.partition(block, -most, axis=axis), -most, axis=axis)[place])
            else:
                weakest[:] = -np.inf
        wanted &= cosine >= weakest - _FINE
    return wanted


def open_graph(width: int, rows: int) -> Any:
    """Return an empty hnswlib index for `rows` vectors of unit length, compared by their scalar product."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=width)
    index.init_index(max_elements=rows, ef_construction=EFFORT, M=16, random_seed=100)
    return index


def _proposed(views: Views, floor: float, most: int, advance: Callable[[int, int], None]) -> Candidates:
    """Yield the pairs that hnswlib proposes; some are repeated."""
    rows, stacked = len(views[0]), np.hstack(views)
    _, first, place = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    first = first[place.ravel()]  # by row, the first row with an equal vector
    distinct = np.unique(first)
    index = open_graph(stacked.shape[1], len(distinct))
    for start in range(0, len(distinct), _COLUMNS):
        part = distinct[start : start + _COLUMNS]
        index.add_items(_join_views(views, part), part, num_threads=1)
        advance(start + len(part), 2 * len(distinct))
    ordered = np.argsort(first, kind="stable")
    for apart in range(1, min(most, rows - 1) + 1):
        equal = first[ordered[:-apart]] == first[ordered[apart:]]
        if not equal.any():
            break
        yield ordered[:-apart][equal], ordered[apart:][equal]
    copies = np.flatnonzero(first != np.arange(rows))
    for start in range(0, len(distinct), _COLUMNS):
        part = distinct[start : start + _COLUMNS]
        left, right = _neighbours(index, _join_views(views, part), part, floor - _SLACK, most, len(distinct))
        # A copy of a row is close to that row's neighbors, too. Pairs of copies of two different rows are left out.
        copied = pl.DataFrame({"first": first[copies], "copy": copies})
        pairs = pl.DataFrame({"left": left, "right": right}, schema={"left": pl.Int64, "right": pl.Int64})
        for one, other in (("left", "right"), ("right", "left")):
            more = pairs.join(copied, left_on=one, right_on="first")
            yield more["copy"].to_numpy(), more[other].to_numpy()
        yield left, right
        advance(len(distinct) + start + len(part), 2 * len(distinct))


def _neighbours(
    index: Any, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], floor: float, most: int, size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return pairs of `rows` and their close neighbors, up to `most` each; `k` grows while all neighbors are close."""
    asked, k = np.arange(len(rows)), 17
    left, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while len(asked):
        k = min(k, size, most + 1)
        index.set_ef(max(2 * k, EFFORT))
        neighbours, distances = index.knn_query(vectors[asked], k=k)
        close = 1 - distances >= floor
        more = close.all(axis=1) & (k < min(size, most + 1))
        row, column = np.nonzero(close & ~more[:, None] & (neighbours != rows[asked][:, None]))
        left.append(rows[asked][row])
        right.append(neighbours[row, column].astype(np.int64))
        asked, k = asked[more], 4 * k
    return np.concatenate(left), np.concatenate(right)
