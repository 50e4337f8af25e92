"""Selection by length of the answer."""

import polars as pl

from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(source="Long Is More for Alignment, arXiv 2402.04833", needs=("answer_chars",))
def longest(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows with the longest answers."""
    length = pl.col("answer_chars")
    return Ranking(frame, [-length.cast(pl.Int64)], {"no_answer": length.is_null()}, ["answer_chars"])
