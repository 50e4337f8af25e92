"""Verdicts: what a selector says of every row it was shown.

Grain: one row. Key: row_id. `place` counts from 0 in the order of preference and is null for rows that the selector could not rank or passed
over; `taken` holds for the first of them, up to the size. `reason` is the selector's name for rows that are taken, `over_size` for those that
came too late, else what they lack.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import polars.selectors as cs

VERDICTS = pl.Schema(
    {"row_id": pl.String, "taken": pl.Boolean, "place": pl.Int64, "reason": pl.String, "detail": pl.String}
)
"""Columns of verdicts; `detail` is a JSON object."""

OVER_SIZE = "over_size"


def lacking(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """The name of the first condition that holds, or null."""
    return pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())


def by_order(
    frame: pl.DataFrame,
    selector: str,
    size: int,
    order: Sequence[pl.Expr],
    conditions: Mapping[str, pl.Expr],
    shown: Sequence[str] = (),
) -> pl.DataFrame:
    """Verdicts of a selector that sorts.

    Args:
        frame: The rows.
        selector: Its name.
        size: Rows to take.
        order: What comes first is smallest; ties go to the lower row id. Infinite and NaN values belong into the conditions.
        conditions: Reasons to leave a row out, in order, each with when it holds.
        shown: Columns that `detail` shows.
    """
    why = lacking(conditions) if conditions else pl.lit(None, pl.String)
    keyed = frame.select(
        "row_id",
        why.alias("why"),
        detail(shown).alias("detail"),
        *(key.alias(f"key {n}") for n, key in enumerate(order)),
    )
    keyed = keyed.sort(pl.col("why").is_not_null(), *(f"key {n}" for n in range(len(order))), "row_id", nulls_last=True)
    place = pl.when(pl.col("why").is_null()).then(pl.int_range(pl.len(), dtype=pl.Int64)).alias("place")
    return _told(keyed.select("row_id", place, "why", "detail"), selector, size)


def by_choice(
    frame: pl.DataFrame,
    selector: str,
    size: int,
    chosen: np.ndarray,
    conditions: Mapping[str, pl.Expr],
    shown: Sequence[str] = (),
) -> pl.DataFrame:
    """Verdicts of a selector that picks one row after the other.

    Args:
        frame: The rows.
        selector: Its name.
        size: Rows to take.
        chosen: Places in the frame of the rows it picked, in order.
        conditions: As above; rows that are neither picked nor left out have come too late.
        shown: Columns that `detail` shows.
    """
    place = np.full(frame.height, -1)
    place[chosen] = np.arange(len(chosen))
    why = lacking(conditions) if conditions else pl.lit(None, pl.String)
    placed = frame.select(
        "row_id", pl.Series("place", place).replace(-1, None), why.alias("why"), detail(shown).alias("detail")
    )
    return _told(
        placed.with_columns(
            pl.when(pl.col("place").is_null()).then(pl.coalesce("why", pl.lit(OVER_SIZE))).alias("why")
        ),
        selector,
        size,
    )


def detail(shown: Sequence[str]) -> pl.Expr:
    """These columns as a JSON object, numbers rounded."""
    if not shown:
        return pl.lit("{}")
    named = cs.by_name(*shown)
    return pl.struct((named & cs.float()).round(4), named - cs.float()).struct.json_encode()


def _told(placed: pl.DataFrame, selector: str, size: int) -> pl.DataFrame:
    taken = (pl.col("place") < size).fill_null(False)
    reason = pl.when(taken).then(pl.lit(selector)).otherwise(pl.coalesce("why", pl.lit(OVER_SIZE)))
    return placed.select("row_id", taken.alias("taken"), "place", reason.alias("reason"), "detail").sort("row_id")
