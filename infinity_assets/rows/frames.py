"""Helpers for frames: conform them to a schema, make decisions on their rows, count rows."""

from collections.abc import Mapping
from typing import Any, TypeVar

import polars as pl

from infinity_assets.rows.schema import DECISIONS

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def conform(frame: Frame, schema: Mapping[str, Any], *, fill: bool = False) -> Frame:
    """Return exactly the columns of a schema, in its order and cast to its types.

    With `fill`, a missing column becomes null; otherwise it is an error.
    """
    present = set(frame.collect_schema().names() if fill else schema)
    return frame.select(
        (pl.col(name) if name in present else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )


def json_detail(*columns: str | pl.Expr, **named: str | pl.Expr) -> pl.Expr:
    """Return an expression `detail` that packs columns into one JSON object per row. Keywords rename columns."""
    renamed = [(pl.col(column) if isinstance(column, str) else column).alias(name) for name, column in named.items()]
    return pl.struct(*columns, *renamed).struct.json_encode().alias("detail")


def decide(
    rows: Frame,
    verdict: str | pl.Expr = "dropped",
    reason: str | pl.Expr | pl.Series | None = None,
    detail: pl.Expr | pl.Series | None = None,
) -> Frame:
    """Return one decision per row (schema `DECISIONS`). A reason or detail of `None` is taken from the rows."""
    given = {"verdict": verdict, "reason": reason, "detail": detail}
    columns = {name: pl.lit(value) if isinstance(value, str) else value for name, value in given.items()}
    return conform(
        rows.with_columns(**{name: value for name, value in columns.items() if value is not None}), DECISIONS
    )


def count_by(frame: Frame, *by: str | pl.Expr, name: str = "rows", within: int = 0) -> Frame:
    """Count the rows of each combination of values of the columns `by`, in a column `name`.

    The result is sorted by the first `within` of the columns, then by the highest count, then by the other columns.
    """
    counted: Any = frame.group_by(*by).len(name)
    *keys, _ = counted.collect_schema().names()
    return counted.sort(*keys[:within], pl.col(name) * -1, *keys[within:])
