"""A budget that is spread over what the rows are about: depth first, round robin over a grid (recipe 3.5, after the code of arXiv 2507.06968).

Rows are sorted by depth; a grid of equal-width cells lies over two coordinates of their prompts' vectors; in rounds the next row of every cell
that has one is taken. A row without a vector is in a cell of its language and first coarse ability: of Chinese the embedded embedders know nothing.

The coordinates are the two principal components, where the paper's code reads a t-SNE. t-SNE starts by chance, depends on every row at once, needs
all vectors in memory, and neither its distances nor its directions mean the same in two places of the map, so that cells of equal width hold unequal
ranges of meaning. The components are a linear map that the rows' covariance fixes: two passes over the vectors, batch by batch, and the same
cells in every run. Their price is that they show less: the page says what share of the variance.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

_ROWS = 16_384
"""Vectors in memory together: 34 MB of 256 numbers."""
_FLAT = 1e-6
"""Coordinates no further apart than this are one: vectors are in half precision."""

CELL = ("x", "y", "language", "ability")
"""The columns that tell a cell: the first two, or the last two where there is no vector."""


class Grid(NamedTuple):
    """Where rows lie."""

    places: pl.DataFrame
    """row_id, x, y: column and row of the cell, from 0; rows without a vector are missing."""
    shown: float | None
    """Share of the vectors' variance that the two coordinates show; null where there is none."""


def grid_of(row_ids: pl.Series, vectors: pl.LazyFrame, side: int) -> Grid:
    """Lay a grid over rows.

    Args:
        row_ids: The rows.
        vectors: row_id, vector (null where there is none) of these and other rows. Read twice, in its order.
        side: Cells on each side.
    """
    total, count = None, 0
    for _, found in _batches(row_ids, vectors):
        moments = np.concatenate([found.sum(0, keepdims=True), found.T @ found])
        total, count = moments if total is None else total + moments, count + len(found)
    if total is None:
        return Grid(pl.DataFrame(schema={"row_id": pl.String, "x": pl.Int32, "y": pl.Int32}), None)
    mean = total[0] / count
    values, axes = np.linalg.eigh(total[1:] / count - np.outer(mean, mean))
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(
        axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]
    )  # eigenvectors have no sign of their own
    read = [(ids, (found - mean) @ axes) for ids, found in _batches(row_ids, vectors)]
    at = np.zeros((count, 2))
    at[:, : axes.shape[1]] = np.concatenate([coordinates for _, coordinates in read])
    low = at.min(0)
    cells = ((at - low) / np.maximum(at.max(0) - low, _FLAT) * side).astype(np.int32).clip(max=side - 1)
    places = pl.DataFrame({"row_id": pl.concat([ids for ids, _ in read]), "x": cells[:, 0], "y": cells[:, 1]})
    variance = float(values.sum())
    return Grid(places, float(values[-2:].sum()) / variance if variance > _FLAT**2 else None)


def _batches(row_ids: pl.Series, vectors: pl.LazyFrame) -> Iterator[tuple[pl.Series, npt.NDArray[np.float64]]]:
    """The vectors of these rows, in double precision."""
    ids = vectors.select("row_id").collect(engine="streaming")["row_id"]
    # One look-up for all batches: a join would hash the wanted rows for each.
    wanted, start = ids.is_in(row_ids.implode()), 0
    for batch in vectors.select("vector").collect_batches(chunk_size=_ROWS, maintain_order=True, engine="streaming"):
        here = wanted[start : start + batch.height] & batch["vector"].is_not_null()
        if here.any():
            yield (
                ids[start : start + batch.height].filter(here),
                batch["vector"].filter(here).to_numpy().astype(np.float64),
            )
        start += batch.height


def in_cells(rows: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """The rows with the columns of `CELL`, in their order.

    Args:
        rows: row_id, language and cate_ability, and what else there is.
        grid: Where those with a vector lie.
    """
    placed = rows.join(grid.places, on="row_id", how="left", maintain_order="left")
    unplaced = pl.col("x").is_null()
    return placed.with_columns(
        language=pl.when(unplaced).then("language"), ability=pl.when(unplaced).then(pl.col("cate_ability").list.first())
    )


def round_robin(rows: pl.DataFrame) -> pl.DataFrame:
    """The order in which a budget takes rows: any number of first ones is spread over the cells, each taken by depth.

    Args:
        rows: row_id, the columns of `CELL`, depth (null last), met (the more the better) and draw (by lot, where all is equal).

    Returns:
        The rows in that order, with `turn`, the round from 0. Within a round the deepest is first.
    """
    ordered = rows.sort("depth", "met", "draw", "row_id", descending=[True, True, False, False], nulls_last=True)
    return ordered.with_columns(pl.int_range(pl.len()).over(CELL).alias("turn")).sort("turn", maintain_order=True)
