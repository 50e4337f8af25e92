"""The declaration of selectors, and their verdicts on rows.

A selector is a function of (rows, size, settings) with the decorator `selector`. It is in the module of its name in
`selectors/`, and returns a `Ranking`: rows in order of preference, and reasons that exclude rows.
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
excluded or passed over. `taken`: true for the first `size` places. `reason`: the selector's name if the row is taken,
the condition that excludes it, or else `over_size`. `detail`: a JSON object."""

OVER_SIZE = "over_size"

Places = npt.NDArray[np.int64]


class Ranking(NamedTuple):
    """A selector's order of preference."""

    rows: pl.DataFrame
    order: Sequence[pl.Expr] | Places
    """Ascending sort keys, where the lower row id wins ties and rows with infinite or NaN keys must be excluded; or the
    indices of the rows that the selector picked one by one, in that order."""
    excluded: Mapping[str, pl.Expr] = {}
    """Conditions that exclude a row, by reason, in order of precedence."""
    shown: Sequence[str] = ()
    """Columns whose values are in `detail`."""


Select = Callable[[pl.DataFrame, int, Foundation], Ranking]


@dataclass(frozen=True)
class Selector:
    """A declared selector: the function, its description, and the data that it reads."""

    name: str
    about: str
    """The first paragraph of the function's docstring."""
    function: Select
    source: str
    """Origin of the algorithm, such as a publication."""
    needs: tuple[str, ...]
    """Columns that the function reads besides row_id."""
    settings: tuple[str, ...]
    """Settings that the function reads, as paths below `foundation`."""
    calls: tuple[str, ...]
    """Prompts of the model calls that produce these columns, by their names in the ledger tables."""

    def select(self, frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
        """Return the verdicts on all rows: schema `VERDICTS`, sorted by row id."""
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
    """Declare a function as a selector of its name. The first paragraph of its docstring becomes the description."""

    def declare(function: Select) -> Selector:
        about = " ".join(inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].split())
        return Selector(function.__name__, about, function, source, needs, settings, calls)

    return declare


def first_condition(conditions: Mapping[str, pl.Expr]) -> pl.Expr:
    """Return the name of the first condition that a row meets, or null."""
    named = (pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())
    return pl.coalesce(*named, pl.lit(None, pl.String))


def find_places(rows: pl.DataFrame, excluded: Mapping[str, pl.Expr], order: pl.Expr) -> Places:
    """Return the indices of the rows that are not excluded, by ascending `order`. The earlier row wins ties."""
    wanted = first_condition(excluded).is_null().alias("wanted")
    keyed = rows.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("at"), wanted, order.alias("key"))
    return keyed.filter("wanted").sort("key", "at")["at"].to_numpy()


def _show(shown: Sequence[str]) -> pl.Expr:
    """Encode columns as one JSON object per row, with rounded numbers."""
    if not shown:
        return pl.lit("{}")
    named = cs.by_name(*shown)
    return pl.struct((named & cs.float()).round(4), named - cs.float()).struct.json_encode()
