"""What the page shows of a choice of seeds: what each criterion brings, what two share, and how much of the grid is covered."""

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.selection.seeds.coverage import CELL
from infinity_assets.selection.seeds.criteria import CRITERIA
from infinity_assets.settings.chat import Seeds


def brought(rows: pl.DataFrame, settings: Seeds) -> pl.DataFrame:
    """Rows per criterion, and the veto: criterion, in force, rows it holds for, rows taken, and taken by it alone.

    Args:
        rows: `Picked.rows`.
        settings: Says which are in force.
    """
    taken = rows.filter("taken")
    in_force = set(settings.criteria) | ({"vetoed"} if settings.veto_sigma is not None else set())
    if not settings.tuned.enabled:
        in_force -= {"small_loss_drop", "vetoed"}
    names = [*CRITERIA, "vetoed"]
    return pl.DataFrame(
        {
            "criterion": names,
            "in force": ["yes" if name in in_force else "no" for name in names],
            "rows it holds for": [int(rows[name].sum()) for name in names],
            "rows taken": [int(taken[name].sum()) for name in names],
            "taken, by it alone": [int((taken["reason"] == name).sum()) for name in names],
        }
    )


def shared(rows: pl.DataFrame) -> pl.DataFrame:
    """How many rows each two criteria hold for: a line and a column per criterion, and the veto.

    Args:
        rows: `Picked.rows`.
    """
    names = [*CRITERIA, "vetoed"]
    holds = rows.select(names).cast(pl.Int64).to_numpy()
    return pl.DataFrame({"": names, **dict(zip(names, (holds.T @ holds).T, strict=True))})


def covered(cells: pl.DataFrame) -> pl.DataFrame:
    """Occupied cells: of the grid, and of language and ability; by candidates and by seeds.

    Args:
        cells: `Picked.cells`.
    """
    kind = (
        pl.when(pl.col("x").is_null()).then(pl.lit("language and ability")).otherwise(pl.lit("grid")).alias("cells of")
    )
    per_cell = cells.group_by(kind, *CELL).agg(rows=pl.len(), seeds=pl.col("taken").sum())
    return (
        per_cell.group_by("cells of")
        .agg(
            pl.len().alias("with candidates"),
            (pl.col("seeds") > 0).sum().alias("with seeds"),
            pl.col("rows").sum().alias("candidates"),
            pl.col("seeds").sum(),
            pl.col("rows").max().alias("most candidates in one"),
            pl.col("seeds").max().alias("most seeds in one"),
        )
        .sort("cells of")
    )


def counts_on_grid(cells: pl.DataFrame, side: int) -> npt.NDArray[np.int64]:
    """Rows per cell of the grid, of shape (side, side): y, then x.

    Args:
        cells: `Picked.cells`, or some of them.
        side: Cells on each side.
    """
    places = cells.drop_nulls("x").select(pl.col("y").cast(pl.Int64) * side + pl.col("x")).to_series().to_numpy()
    return np.bincount(places, minlength=side * side).reshape(side, side)
