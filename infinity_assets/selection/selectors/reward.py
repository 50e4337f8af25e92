"""Selection by the reward model."""

import polars as pl

from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(
    source="ours: rewards are not comparable across domains and languages",
    needs=("reward", "domain", "language"),
    calls=("conversation",),
)
def reward(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows with the highest rewards, compared within their domain and language."""
    group = ["domain", "language"]
    score = pl.col("reward")
    rows = frame.with_columns(quantile=score.rank("max").over(group) / score.count().over(group))
    return Ranking(rows, [-pl.col("quantile")], {"no_reward": score.is_null()}, ["reward", "quantile"])
