"""Selection by the judge's score."""

import polars as pl

from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(
    source="LLM-as-a-judge as in AlpaGasus, arXiv 2307.08701; the second key is ours",
    needs=("quality", "ifd"),
    calls=("judge_answer", "answer_in_context", "answer_alone"),
)
def quality(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows whose answers the judge scores highest. Among equal scores, the higher IFD wins."""
    order = [-pl.col("quality"), -pl.col("ifd")]
    return Ranking(frame, order, {"no_quality": pl.col("quality").is_null()}, ["quality", "ifd"])
