"""Pairs of close vectors: all of them up to a size, and above it those that hnswlib finds.

**Exact.** Every pair is compared, by blocks of a matrix product over an upper bound of its cosine: the vectors are
rotated to their principal axes, the first axes are kept, and of the rest only the length. By Cauchy and Schwarz the
cosine is at most the product over the kept axes plus the product of the two lengths, which is the scalar product of
much shorter vectors. Only pairs that pass this bound are computed in full.

**Graph.** hnswlib only proposes neighbors; the cosine decides which are close. Equal vectors are merged before they are
indexed (hnswlib can hang on them with several threads: nmslib/hnswlib #389), and one thread builds the index, in the
order of the rows.

Cosines are computed in double precision. For half-precision vectors every product, and every sum of up to some thousand
products, is exact in it, so the result does not depend on the machine, the threads or the blocks, to the bit.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

_ROWS, _COLUMNS = 1024, 8192
"""Size of a block: 32 MB of single-precision bounds."""
_AXES = 128
"""Principal axes kept. With half as many, six times as many pairs are computed in full, and the products take hardly
less time."""
_SAMPLE = 20_000
"""Vectors from which the axes are computed. Any axes give the right pairs; good ones leave fewer to compute."""
_SLACK = 1e-3
"""Largest error of a bound in single precision, or of a cosine from hnswlib."""
_DENSE = 1 << 16
"""Above this many candidates in a block, all its cosines are computed, in single precision, to leave fewer."""
_FINE = 1e-4
"""Largest error of these single-precision cosines."""
_CHUNK = 8192
"""Pairs whose cosines are computed at a time."""
_BUFFER = 1 << 23
"""Pairs held before the weaker ones of crowded rows are dropped."""
EFFORT = 200
"""Candidates that hnswlib considers, at least, when it adds or looks up a vector."""

Views = Sequence[npt.NDArray[np.floating]]
"""One matrix of vectors, or several with the same rows (prompt and answer, say)."""


class Pairs(NamedTuple):
    """Pairs of rows, left < right, sorted, with their similarity as float32: the smallest cosine of their views."""

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
        views: Vectors of any length but zero, shape (rows, width) each. The similarity of two rows is that of their
            least similar view.
        floor: Least cosine.
        most: A pair is kept if it is among this many most similar pairs of one of its rows (`keep_strongest`).
        keys: A number per row that does not depend on its place, to break ties; the place itself if there are no keys.
        groups: Rows of different groups do not form a pair.
        fresh: If given, only pairs with a fresh row are returned.
        exact_up_to: Above this many rows hnswlib proposes the pairs, and may miss some.
        advance: Called with the number of rows done and their total.

    Returns:
        The pairs. Up to `exact_up_to` rows they depend on the arguments alone; above it on the version of hnswlib, too.
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
    """Concatenate two lists of pairs."""
    left, right = np.concatenate([one.left, other.left]), np.concatenate([one.right, other.right])
    return Pairs(left, right, np.concatenate([one.similarity, other.similarity]))


def keep_strongest(pairs: Pairs, rows: int, most: int, keys: npt.NDArray[np.uint64]) -> Pairs:
    """Return the pairs that are among the `most` most similar of one of their two rows; ties are broken by `keys`.

    A pair dropped from a part would be dropped from the whole, so parts may be reduced before they are concatenated.
    """
    ends, others = np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left])
    crowded = np.bincount(ends, minlength=rows) > most
    if not crowded.any():
        return pairs
    number = np.tile(np.arange(len(pairs.left)), 2)
    kept = ~crowded[pairs.left] | ~crowded[pairs.right]
    crowd = np.flatnonzero(crowded[ends])
    ends, others, number = ends[crowd], others[crowd], number[crowd]
    # Ties are broken by a key of the pair. With a key of the other row, all rows of a crowd of equal vectors would have
    # the same few neighbors.
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
    """Return the vectors nearest to each query. All are compared, by blocks.

    Args:
        queries, vectors: Shapes (queries, width) and (rows, width).
        floor, most: Least cosine, and rows per query.
        keys: A number per row, to break ties; the place if there are no keys.
        advance: Called with the number of rows done and their total.

    Returns:
        Columns query, row (places), similarity (Float32); by query, best first.
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
                # One of the best rows of all is one of the best of its block.
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
    """Vectors with their squared lengths."""

    vectors: npt.NDArray[np.floating]
    squares: npt.NDArray[np.float64]


def _measure(vectors: npt.NDArray[np.floating]) -> _Measured:
    """Compute squared lengths, with 1 in place of 0, so that a zero vector is close to nothing."""
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
    """Return one vector per row whose products are the mean of the views' cosines: at least the smallest of them."""
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
    """Yield the pairs that pass the bound, each once."""
    rows = len(views[0])
    sample = _join_views(views, np.arange(0, rows, max(1, rows // _SAMPLE)))
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = axes[:, ::-1][:, :_AXES]
    # Fresh rows come first: a block of them is compared with itself and with all later rows.
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
    """Return a mask of the candidates of a block that can be close and among the `most` best of one of its rows."""
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
    """Return an empty hnswlib index for vectors of unit length, compared by scalar product."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=width)
    index.init_index(max_elements=rows, ef_construction=EFFORT, M=16, random_seed=100)
    return index


def _proposed(views: Views, floor: float, most: int, advance: Callable[[int, int], None]) -> Candidates:
    """Yield the pairs that the graph proposes, some of them twice."""
    rows, stacked = len(views[0]), np.hstack(views)
    _, first, place = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    first = first[place.ravel()]  # for each row, the first row equal to it
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
        # The copies of a row are close to its neighbors. Pairs of two copies are left out.
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
    """Return the rows that the graph finds close to `rows`, up to `most`; `k` grows while all neighbors are close."""
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
