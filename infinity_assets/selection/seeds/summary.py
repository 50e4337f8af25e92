"""Tables about a choice of seeds: rows per criterion, rows per pair of criteria, and coverage of the grid."""

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.selection.seeds.coverage import CELL
from infinity_assets.selection.seeds.criteria import CRITERIA
from infinity_assets.settings.chat import Seeds


def count_by_criterion(rows: pl.DataFrame, settings: Seeds) -> pl.DataFrame:
    """Count the rows and seeds in `Picked.rows` that meet each criterion, and those that the veto excludes."""
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


def count_by_pair(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the rows of `Picked.rows` per pair of criteria that both hold, as a square table; the veto is included."""
    names = [*CRITERIA, "vetoed"]
    holds = rows.select(names).cast(pl.Int64).to_numpy()
    return pl.DataFrame({"": names, **dict(zip(names, (holds.T @ holds).T, strict=True))})


def count_occupied_cells(cells: pl.DataFrame) -> pl.DataFrame:
    """Count the cells, candidates and seeds of `Picked.cells`: one line for the grid, one for language and ability."""
    kind = pl.when(pl.col("x").is_null()).then(pl.lit("language and ability")).otherwise(pl.lit("grid"))
    per_cell = cells.group_by(kind.alias("cells of"), *CELL).agg(rows=pl.len(), seeds=pl.col("taken").sum())
    measures = {
        "with candidates": pl.len(),
        "with seeds": (pl.col("seeds") > 0).sum(),
        "candidates": pl.col("rows").sum(),
        "seeds": pl.col("seeds").sum(),
        "most candidates in one": pl.col("rows").max(),
        "most seeds in one": pl.col("seeds").max(),
    }
    return per_cell.group_by("cells of").agg(**measures).sort("cells of")


def count_by_cell(cells: pl.DataFrame, side: int) -> npt.NDArray[np.int64]:
    """Count rows of `Picked.cells` in each cell of the grid: shape (side, side), indexed by y, then x."""
    places = cells.drop_nulls("x").select(pl.col("y").cast(pl.Int64) * side + pl.col("x")).to_series().to_numpy()
    return np.bincount(places, minlength=side * side).reshape(side, side)
