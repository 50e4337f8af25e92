"""Frames in the shape of a schema, decisions on rows, and counts, for all layers."""

from collections.abc import Mapping
from typing import Any, TypeVar

import polars as pl

from infinity_assets.rows.schema import DECISIONS

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def conform(frame: Frame, schema: Mapping[str, Any], *, fill: bool = False) -> Frame:
    """Return the columns of a schema, in its order and cast to its types.

    Args:
        frame: Has these columns, and perhaps others.
        schema: The columns of the result.
        fill: Whether a column that the frame lacks is null; without it, a missing column is an error.
    """
    present = set(frame.collect_schema().names() if fill else schema)
    return frame.select(
        (pl.col(name) if name in present else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )


def json_detail(*columns: str | pl.Expr, **named: str | pl.Expr) -> pl.Expr:
    """Return columns as a JSON object per row, in the column `detail`."""
    renamed = [(pl.col(column) if isinstance(column, str) else column).alias(name) for name, column in named.items()]
    return pl.struct(*columns, *renamed).struct.json_encode().alias("detail")


def decide(
    rows: Frame, verdict: str | pl.Expr = "dropped", reason: str | pl.Expr | None = None, detail: pl.Expr | None = None
) -> Frame:
    """Return a decision on each row, of schema `DECISIONS`. A reason or detail of None is a column of the rows."""
    given = {"verdict": verdict, "reason": reason, "detail": detail}
    return conform(
        rows.with_columns(
            (pl.lit(value) if isinstance(value, str) else value).alias(name)
            for name, value in given.items()
            if value is not None
        ),
        DECISIONS,
    )


def count_by(frame: Frame, *by: str | pl.Expr, name: str = "rows", within: int = 0) -> Frame:
    """Count the rows by columns.

    Args:
        frame: Any rows.
        by: The columns.
        name: The name of the count.
        within: How many of the columns come before the count in the order of the result, which is by these columns,
            then the most frequent first, then by the other columns.
    """
    counted: Any = frame.group_by(*by).len(name)
    *keys, _ = counted.collect_schema().names()
    return counted.sort(*keys[:within], pl.col(name) * -1, *keys[within:])
