"""Selection by complexity, quality and diversity."""

import numpy as np
import polars as pl

from infinity_assets.selection.diversity import ReprFilter
from infinity_assets.selection.selector import Ranking, find_places, selector
from infinity_assets.selection.vectors import to_matrix
from infinity_assets.settings import Foundation


@selector(
    source="Deita, arXiv 2312.15685",
    needs=("complexity", "quality", "vector"),
    settings=("selectors.deita_similarity",),
    calls=("judge_complexity", "judge_answer"),
)
def deita(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """The rows of highest complexity times quality. A row whose vector is close to that of a better row is left out."""
    conditions = {
        "no_complexity": pl.col("complexity").is_null(),
        "no_quality": pl.col("quality").is_null(),
        "no_vector": pl.col("vector").is_null(),
    }
    rows = frame.sort("row_id").with_columns(evol_score=pl.col("complexity") * pl.col("quality"))
    at = find_places(rows, conditions, -pl.col("evol_score"))
    candidates = rows[at]
    diversity = ReprFilter(settings.selectors.deita_similarity)
    vectors = to_matrix(candidates["vector"])
    taken, lost = diversity.walk(candidates["row_id"], vectors, np.ones(len(at), bool), size)
    conditions["near_duplicate"] = pl.col("row_id").is_in(lost["row_id"].implode())
    return Ranking(rows, at[taken], conditions, ["complexity", "quality", "evol_score"])
