"""Which operator rewrites which seed: one per seed and round, drawn by row id (Evol-Instruct, arXiv 2304.12244)."""

import polars as pl

from infinity_assets.rows.ids import draw

OPERATORS: tuple[str, ...] = ("evolve_constraints", "evolve_deepen", "evolve_concretise", "evolve_reasoning", "evolve_breadth")
"""Prompts that rewrite an instruction: four in depth, one in breadth."""

FROM_TEXT = "request_from_text"
"""The prompt that writes an instruction about a passage."""


def assign(seeds: pl.DataFrame, number: int) -> pl.Series:
    """The operator of every seed.

    Args:
        seeds: Columns row_id and kind.
        number: The round, from 1.

    Returns:
        Prompt names, in the order of the seeds.
    """
    place = (draw(f"evolve:{number}", seeds["row_id"]) * len(OPERATORS)).floor().cast(pl.Int64)
    drawn = pl.Series(OPERATORS).gather(place).alias("operator")
    return seeds.select(pl.when(pl.col("kind") == "text").then(pl.lit(FROM_TEXT)).otherwise(drawn).alias("operator")).to_series()
