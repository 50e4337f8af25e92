"""Instructions for what the students lack, which carry one round's diagnosis into the next round.

The settings cannot choose it like a strategy. It gets the share `deficiency_share` of the seeds with a deficiency; the
strategies get the rest.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, to_written

OPERATION = "request_from_deficiency"
"""Name of the prompt and of the operation."""


def mark_seeds(seeds: pl.DataFrame, settings: Evolution, number: int) -> pl.Series:
    """Mark the seeds that get an instruction from their deficiency, drawn by row id and round.

    Args:
        seeds: `SEEDS`.
        settings: Settings with the share.
        number: Number of the round, from 1.

    Returns:
        One boolean per seed.
    """
    drawn = draw(f"deficiency:{number}", seeds["row_id"]) < settings.deficiency_share
    described = pl.col("deficiency").fill_null("").str.strip_chars() != ""
    return seeds.select((described & ~IS_TEXT & drawn).fill_null(False).alias("marked")).to_series()


def write(seeds: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """Write a request in each seed's field that requires what the answers to the seed lacked. Return `WRITTEN`."""
    rows = seeds.rename({"seed": "request"})
    return to_written(
        asking.write(OPERATION, rows, asking.settings.chat.evolution.sampling, progress_label="evolve"), OPERATION
    )
