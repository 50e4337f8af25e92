"""Replay of the seeds of the chat phase."""

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(
    source="Infinity Instruct, arXiv 2506.11116: 1.2 M seeds are replayed in F",
    needs=("is_seed",),
    settings=("seed_share",),
)
def seed_replay(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The seeds of the chat phase, in random order."""
    drawn = frame.with_columns(draw("selector:seed_replay", frame["row_id"]))
    return Ranking(drawn, [pl.col("draw")], {"no_seed": ~pl.col("is_seed").fill_null(False)})
