"""A random draw."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(source="the baseline")
def random(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """A random draw, the same in every run."""
    return Ranking(frame.with_columns(draw("selector:random", frame["row_id"])), [pl.col("draw")])
