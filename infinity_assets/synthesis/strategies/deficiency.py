"""Instructions written from what the students lack: the way from one round's diagnosis into the next round (recipe 3.4).

It is no strategy of the settings: a seed whose deficiency was told goes here or to the strategies, as `deficiency_share` says.
"""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Evolution
from infinity_assets.synthesis.prompting import Asking
from infinity_assets.synthesis.strategies.strategy import IS_TEXT, as_written

OPERATION = "request_from_deficiency"
"""The prompt, and the operation."""


def goes_here(seeds: pl.DataFrame, settings: Evolution, number: int) -> pl.Series:
    """Which seeds get an instruction that calls for what was lacking.

    Args:
        seeds: `SEEDS`.
        settings: The share.
        number: The round, from 1.
    """
    drawn = draw(f"deficiency:{number}", seeds["row_id"]) < settings.deficiency_share
    told = pl.col("deficiency").fill_null("").str.strip_chars() != ""
    return seeds.select((told & ~IS_TEXT & drawn).fill_null(False).alias("goes_here")).to_series()


def write(seeds: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """`WRITTEN`: a request of every seed's field that calls for what the answers to it lacked."""
    rows = seeds.rename({"seed": "request"})
    return as_written(asking.write(OPERATION, rows, asking.settings.chat.evolution.sampling, told="evolve"), OPERATION)
