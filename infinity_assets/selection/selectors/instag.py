"""Selection by number and novelty of labels."""

import numpy as np
import polars as pl

from infinity_assets.selection.selector import Ranking, find_places, selector
from infinity_assets.settings import Foundation


@selector(source="InsTag, arXiv 2308.07074", needs=("ability",), calls=("tag",))
def instag(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows with the most labels, in passes. Within a pass, each row taken has to add a new label."""
    from infinity_assets.selection.kernels import passes

    conditions = {"no_labels": pl.col("ability").list.len().fill_null(0) == 0}
    rows = frame.sort("row_id").with_columns(labels=pl.col("ability").list.unique().list.len())
    at = find_places(rows, conditions, -pl.col("labels").cast(pl.Int64))
    lists = rows["ability"].gather(at)
    names = lists.explode(empty_as_null=False, keep_nulls=False)
    numbers = names.rank("dense").to_numpy().astype(np.int32) - 1
    starts = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy().astype(np.int64))])
    chosen = passes(starts, numbers, int(numbers.max(initial=-1)) + 1, size)
    return Ranking(rows, at[chosen], conditions, ["labels"])
