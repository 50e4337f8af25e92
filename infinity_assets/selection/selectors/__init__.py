"""Selectors, which take a number of rows from a pool: one per module, as a function of the module's name.

The recipe for F (`infinity`) combines them: `selection/composition.py`.
"""

import pkgutil
from importlib import import_module

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.selection.selector import Selector
from infinity_assets.settings import Foundation

SELECTORS: dict[str, Selector] = {
    name: getattr(import_module(f"{__name__}.{name}"), name) for _, name, _ in pkgutil.iter_modules(__path__)
}
"""Selectors by name."""


def select(name: str, frame: pl.DataFrame, size: int, settings: Foundation) -> pl.DataFrame:
    """Run a selector: verdicts on every row, sorted by row id (`selector.VERDICTS`).

    The frame has row_id and the columns that the selector needs, in any order of the rows. If fewer than `size` rows
    can be ranked, fewer are taken.

    Raises:
        InfinityError: The selector does not exist, or a column that it needs is missing.
    """
    if name not in SELECTORS:
        raise InfinityError(f"There is no selector {name}; there are {', '.join(SELECTORS)}.")
    if missing := [column for column in SELECTORS[name].needs if column not in frame.columns]:
        raise InfinityError(f"The selector {name} needs the columns {', '.join(missing)}, which the rows lack.")
    return SELECTORS[name].select(frame, size, settings)
