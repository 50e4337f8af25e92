"""Selection by importance weight."""

import polars as pl

from infinity_assets.selection.dsir import drawing
from infinity_assets.selection.selector import Ranking, selector
from infinity_assets.settings import Foundation


@selector(
    source="DSIR, arXiv 2302.03169",
    needs=("log_weight", "stratum", "share", "domain"),
    settings=("dsir.targets", "dsir.smoothing", "dsir.length", "dsir.top_k"),
)
def dsir(frame: pl.DataFrame, size: int, settings: Foundation) -> Ranking:
    """A weighted draw of rows whose prompts resemble their domain's target, with a share for each range of length."""
    keyed = frame.with_columns(drawing.noisy_keys(frame, "selector:dsir", settings.dsir.top_k))
    parts = [part.with_columns(drawing.order(part)) for part in keyed.partition_by("domain")]
    ordered = pl.concat([keyed.clear().with_columns(order=pl.lit(0.0)), *parts])
    # Weights towards different targets are not comparable, so each domain of the pool gets its share of the rows.
    weighed = pl.col("log_weight").is_not_null()
    seat = pl.struct("order", "row_id").rank("ordinal").over("domain", weighed) / weighed.sum().over("domain")
    return Ranking(ordered, [seat], {"no_weight": ~weighed}, ["log_weight"])
