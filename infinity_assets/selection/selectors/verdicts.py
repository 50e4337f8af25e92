"""Verdicts of a selector on rows.

Grain: a row. Key: row_id. `place` is the position in the order of preference, from 0, and null for rows that the
selector could not rank or passed over. `taken` is true for the first rows, up to the size. `reason` is the selector's
name for rows taken, `over_size` for later rows, else the condition that excludes the row.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import polars.selectors as cs

VERDICTS = pl.Schema(
    {"row_id": pl.String, "taken": pl.Boolean, "place": pl.Int64, "reason": pl.String, "detail": pl.String}
)
"""Schema of verdicts. `detail` is a JSON object."""

OVER_SIZE = "over_size"


def first_condition(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """Return the name of the first condition that holds, or null."""
    return pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())


def rank_rows(
    frame: pl.DataFrame,
    selector: str,
    size: int,
    order: Sequence[pl.Expr],
    conditions: Mapping[str, pl.Expr],
    shown: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the verdicts of a selector that sorts.

    Args:
        frame: The rows.
        selector: Name of the selector.
        size: Rows to take.
        order: Ascending sort keys; the lower row id wins ties. Exclude infinite and NaN values by conditions.
        conditions: Reasons that exclude a row, in order of precedence, with their conditions.
        shown: Columns that `detail` shows.
    """
    excluded_by = first_condition(conditions) if conditions else pl.lit(None, pl.String)
    keyed = frame.select(
        "row_id",
        excluded_by.alias("excluded_by"),
        detail(shown).alias("detail"),
        *(key.alias(f"key {n}") for n, key in enumerate(order)),
    )
    keyed = keyed.sort(
        pl.col("excluded_by").is_not_null(), *(f"key {n}" for n in range(len(order))), "row_id", nulls_last=True
    )
    place = pl.when(pl.col("excluded_by").is_null()).then(pl.int_range(pl.len(), dtype=pl.Int64)).alias("place")
    return _decide(keyed.select("row_id", place, "excluded_by", "detail"), selector, size)


def mark_chosen(
    frame: pl.DataFrame,
    selector: str,
    size: int,
    chosen: np.ndarray,
    conditions: Mapping[str, pl.Expr],
    shown: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the verdicts of a selector that picks rows one by one.

    Args:
        frame: The rows.
        selector: Name of the selector.
        size: Rows to take.
        chosen: Indices of the picked rows in the frame, in order.
        conditions: Reasons that exclude a row, in order of precedence, with their conditions. Rows that are neither
            picked nor excluded are over size.
        shown: Columns that `detail` shows.
    """
    place = np.full(frame.height, -1)
    place[chosen] = np.arange(len(chosen))
    excluded_by = first_condition(conditions) if conditions else pl.lit(None, pl.String)
    placed = frame.select(
        "row_id",
        pl.Series("place", place).replace(-1, None),
        excluded_by.alias("excluded_by"),
        detail(shown).alias("detail"),
    )
    return _decide(
        placed.with_columns(
            pl.when(pl.col("place").is_null()).then(pl.coalesce("excluded_by", pl.lit(OVER_SIZE))).alias("excluded_by")
        ),
        selector,
        size,
    )


def detail(shown: Sequence[str]) -> pl.Expr:
    """Encode columns as a JSON object, with rounded numbers."""
    if not shown:
        return pl.lit("{}")
    named = cs.by_name(*shown)
    return pl.struct((named & cs.float()).round(4), named - cs.float()).struct.json_encode()


def _decide(placed: pl.DataFrame, selector: str, size: int) -> pl.DataFrame:
    taken = (pl.col("place") < size).fill_null(False)
    reason = pl.when(taken).then(pl.lit(selector)).otherwise(pl.coalesce("excluded_by", pl.lit(OVER_SIZE)))
    return placed.select("row_id", taken.alias("taken"), "place", reason.alias("reason"), "detail").sort("row_id")
