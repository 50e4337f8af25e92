"""Scores by models. Rows that were not scored pass."""

import polars as pl

from infinity_assets.selection.rules.rule import Bound

BOUNDS = (
    Bound(
        "instruction_does_not_help",
        pl.col("ifd"),
        "from",
        "Loss of the answer given the instruction over its loss alone: from 1 the instruction does not help.",
    ),
    Bound("low_quality", pl.col("quality"), "below", "The judge's score of the answer, 1 to 5."),
)
