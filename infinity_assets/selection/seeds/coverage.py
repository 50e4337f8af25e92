"""A budget spread over topics: round robin over the cells of a grid, deepest rows first (code of arXiv 2507.06968).

Each row is in a cell of a grid, by two coordinates of its prompt's vector. A round takes one row of every cell, the one
of greatest depth that is left. A row without a vector is in a cell of its language and first coarse ability, because
the embedded embedders do not support Chinese.

The coordinates are the two principal components. They take two passes over the vectors in batches, and are equal in
every run. They show less of the vectors than t-SNE, so the page reports their share of the variance. The paper's code
uses t-SNE, which starts at random, needs all vectors in memory, and distorts distances differently across the map.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

_ROWS = 16_384
"""Vectors in memory at a time: 34 MB if each has 256 numbers."""
_FLAT = 1e-6
"""Minimum range of a coordinate, so that a grid does not spread the rounding errors of half precision."""

CELL = ("x", "y", "language", "ability")
"""Columns that identify a cell: x and y or, for a row without a vector, language and ability."""


class Grid(NamedTuple):
    """The cells of rows with a vector."""

    places: pl.DataFrame
    """Columns row_id, x and y: column and row of the cell, from 0. Rows without a vector are missing."""
    shown: float | None
    """Share of the vectors' variance along the two coordinates, or `None` if there is no variance."""


def lay_grid(row_ids: pl.Series, vectors: pl.LazyFrame, side: int) -> Grid:
    """Put rows into the cells of a grid with `side` columns and rows.

    `vectors` has row_id and vector (may be null) of these and possibly other rows. It is read twice.
    """
    total = None
    count = 0
    for _, batch in _batches(row_ids, vectors):
        moments = np.concatenate([batch.sum(0, keepdims=True), batch.T @ batch])
        total = moments if total is None else total + moments
        count += len(batch)
    if total is None:
        return Grid(pl.DataFrame(schema={"row_id": pl.String, "x": pl.Int32, "y": pl.Int32}), None)
    mean = total[0] / count
    values, axes = np.linalg.eigh(total[1:] / count - np.outer(mean, mean))
    axes = axes[:, ::-1][:, :2]
    # The sign of an eigenvector is arbitrary: make its largest component positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    read = [(ids, (batch - mean) @ axes) for ids, batch in _batches(row_ids, vectors)]
    at = np.zeros((count, 2))
    at[:, : axes.shape[1]] = np.concatenate([coordinates for _, coordinates in read])
    low = at.min(0)
    cells = ((at - low) / np.maximum(at.max(0) - low, _FLAT) * side).astype(np.int32).clip(max=side - 1)
    places = pl.DataFrame({"row_id": pl.concat([ids for ids, _ in read]), "x": cells[:, 0], "y": cells[:, 1]})
    variance = float(values.sum())
    return Grid(places, float(values[-2:].sum()) / variance if variance > _FLAT**2 else None)


def _batches(row_ids: pl.Series, vectors: pl.LazyFrame) -> Iterator[tuple[pl.Series, npt.NDArray[np.float64]]]:
    """Stream the ids and vectors of these rows in batches, in double precision."""
    ids = vectors.select("row_id").collect(engine="streaming")["row_id"]
    # One lookup for all batches: a join would hash the wanted rows for each.
    wanted = ids.is_in(row_ids.implode())
    start = 0
    for batch in vectors.select("vector").collect_batches(chunk_size=_ROWS, maintain_order=True, engine="streaming"):
        selected = wanted[start : start + batch.height] & batch["vector"].is_not_null()
        if selected.any():
            numbers = batch["vector"].filter(selected).to_numpy().astype(np.float64)
            yield ids[start : start + batch.height].filter(selected), numbers
        start += batch.height


def assign_cells(rows: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Add the columns `CELL` to rows with row_id, language and cate_ability, and keep their order."""
    placed = rows.join(grid.places, on="row_id", how="left", maintain_order="left")
    unplaced = pl.col("x").is_null()
    ability = pl.col("cate_ability").list.first()
    return placed.with_columns(language=pl.when(unplaced).then("language"), ability=pl.when(unplaced).then(ability))


def round_robin(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows in rounds, so that any number of first rows is spread over the cells.

    Each round (`turn`, from 0) has one row of every cell of `CELL`. Within a cell and within a round, rows are sorted
    by depth (descending, null last), met (descending), draw (random) and row_id.
    """
    ordered = rows.sort("depth", "met", "draw", "row_id", descending=[True, True, False, False], nulls_last=True)
    return ordered.with_columns(pl.int_range(pl.len()).over(CELL).alias("turn")).sort("turn", maintain_order=True)
