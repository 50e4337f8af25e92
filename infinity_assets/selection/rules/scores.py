"""Scores by models: rows that were not scored pass."""

import polars as pl

from infinity_assets.selection.rules.rule import Bound

BOUNDS = (
    Bound(
        "instruction_does_not_help",
        pl.col("ifd"),
        "from",
        "Loss of the answer given the instruction over its loss alone: at 1 the instruction does not help to predict it.",
    ),
    Bound("low_quality", pl.col("quality"), "below", "The judge's score of the answer, 1 to 5."),
)
