"""Selection by the topics of the benchmarks."""

import polars as pl

from infinity_assets.selection.selector import Ranking, first_condition, selector
from infinity_assets.settings import Foundation


@selector(
    source="BAAI's README of 2024: a subset that follows the topic distribution of the validation sets",
    needs=("topic", "topic_share", "proximity"),
    settings=("selectors.retrieval_floor", "items_per_topic"),
)
def retrieval(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows nearest to benchmark items, with a share for every topic of the benchmarks.

    Rows are ordered by the divisor method of Sainte-Lague: every topic has its share of any number of first rows, as
    long as it has rows.
    """
    conditions = {
        "no_topic": pl.any_horizontal(pl.col("topic", "topic_share", "proximity").is_null()),
        "far_from_benchmarks": pl.col("proximity") < settings.selectors.retrieval_floor,
    }
    able = first_condition(conditions).is_null()
    turn = pl.struct(-pl.col("proximity"), "row_id").rank("ordinal").over("topic", able)
    return Ranking(frame, [(turn - 0.5) / pl.col("topic_share")], conditions, ["topic", "proximity"])
