"""The declaration of a selector, and its verdicts on rows.

A selector is a function of (rows, size, settings) with the decorator `selector`, in a module of `selectors/` that has
its name. It returns a `Ranking`: rows in their order of preference, and reasons that exclude rows.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from infinity_assets.settings import Foundation

VERDICTS = pl.Schema(
    {"row_id": pl.String, "taken": pl.Boolean, "place": pl.Int64, "reason": pl.String, "detail": pl.String}
)
"""Grain: a row. Key: row_id. `place`: position in the order of preference, from 0; null for rows that the selector
could not rank or passed over. `taken`: true for the first rows, up to the size. `reason`: the selector's name for rows
taken, `over_size` for later rows, else the condition that excludes the row. `detail`: a JSON object."""

OVER_SIZE = "over_size"

Places = npt.NDArray[np.int64]


class Ranking(NamedTuple):
    """The order of preference of a selector."""

    rows: pl.DataFrame
    order: Sequence[pl.Expr] | Places
    """Ascending sort keys, where the lower row id wins ties and infinite and NaN values must be excluded; or the
    indices of the rows that the selector picked one by one."""
    excluded: Mapping[str, pl.Expr] = {}
    """Reasons that exclude a row, in order of precedence, with their conditions."""
    shown: Sequence[str] = ()
    """Columns that `detail` shows."""


Select = Callable[[pl.DataFrame, int, Foundation], Ranking]


@dataclass(frozen=True)
class Selector:
    """A way to take rows."""

    name: str
    about: str
    """One sentence on its behavior."""
    function: Select
    source: str
    """The publication of its algorithm."""
    needs: tuple[str, ...]
    """Columns of the frame that it reads besides row_id."""
    settings: tuple[str, ...]
    """The settings that it reads, below `foundation`."""
    calls: tuple[str, ...]
    """Prompts of the model calls behind its columns, by their names in the ledger tables."""

    def select(self, frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
        """Return the verdicts on all rows, sorted by row id."""
        rows, order, excluded, shown = self.function(frame, size, settings)
        verdicts = rows.select("row_id", first_condition(excluded).alias("excluded"), _show(shown).alias("detail"))
        if isinstance(order, np.ndarray):
            place = np.full(rows.height, -1)
            place[order] = np.arange(len(order))
            verdicts = verdicts.with_columns(pl.Series("place", place).replace(-1, None))
        else:
            keys = [f"key {n}" for n in range(len(order))]
            verdicts = verdicts.with_columns(
                rows.select(key.alias(name) for key, name in zip(order, keys, strict=True))
            )
            verdicts = verdicts.sort(pl.col("excluded").is_not_null(), *keys, "row_id", nulls_last=True)
            place = pl.int_range(pl.len(), dtype=pl.Int64)
            verdicts = verdicts.with_columns(pl.when(pl.col("excluded").is_null()).then(place).alias("place"))
        taken = (pl.col("place") < size).fill_null(False)
        reason = first_condition({self.name: taken, OVER_SIZE: pl.col("place").is_not_null()})
        verdicts = verdicts.with_columns(taken=taken, reason=pl.coalesce(reason, "excluded", pl.lit(OVER_SIZE)))
        return verdicts.select(list(VERDICTS)).sort("row_id")


def selector(
    *, source: str, needs: tuple[str, ...] = (), settings: tuple[str, ...] = (), calls: tuple[str, ...] = ()
) -> Callable[[Select], Selector]:
    """Declare a selector. Its name is the function's, its description the first paragraph of the docstring."""

    def declare(function: Select) -> Selector:
        about = " ".join(inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].split())
        return Selector(function.__name__, about, function, source, needs, settings, calls)

    return declare


def first_condition(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """Return the name of the first condition that holds, or null."""
    named = (pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())
    return pl.coalesce(*named, pl.lit(None, pl.String))


def find_places(rows: pl.DataFrame, excluded: Mapping[str, pl.Expr], order: pl.Expr) -> Places:
    """Return the indices of the rows that are not excluded, in ascending order of a key; the earlier row wins ties."""
    wanted = first_condition(excluded).is_null().alias("wanted")
    keyed = rows.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("at"), wanted, order.alias("key"))
    return keyed.filter("wanted").sort("key", "at")["at"].to_numpy()


def _show(shown: Sequence[str]) -> pl.Expr:
    """Encode columns as a JSON object, with rounded numbers."""
    if not shown:
        return pl.lit("{}")
    named = cs.by_name(*shown)
    return pl.struct((named & cs.float()).round(4), named - cs.float()).struct.json_encode()
