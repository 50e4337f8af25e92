"""Which rows become seeds: those that enough criteria speak for, minus the vetoed, down to a budget that is spread over the grid."""

from typing import NamedTuple

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.seeds.coverage import CELL, grid_of, in_cells, round_robin
from infinity_assets.selection.seeds.criteria import CRITERIA, judged
from infinity_assets.settings.chat import Seeds


class Picked(NamedTuple):
    """The choice."""

    rows: pl.DataFrame
    """One line per row, in their order: row_id, a boolean per criterion, `vetoed`, `taken`, and `reason`: for seeds the criteria, joined by +;
    for others not_scored, no_criterion, too_few_criteria, vetoed or over_budget."""
    cells: pl.DataFrame
    """One line per candidate (a seed, or over the budget): row_id, taken, and its cell (`coverage.CELL`)."""
    shown: float | None
    """Share of the variance of the candidates' vectors that the grid shows."""


def pick(rows: pl.DataFrame, vectors: pl.LazyFrame, vocabulary: pl.DataFrame, settings: Seeds) -> Picked:
    """Pick the seeds.

    Args:
        rows: `criteria.KNOWN`, one line per row.
        vectors: row_id, vector (null where there is none), of these rows and maybe others.
        vocabulary: label, rows.
        settings: Criteria, budget and grid.
    """
    table = judged(rows, vocabulary, settings)
    speaks = table.filter("enough", ~pl.col("vetoed")).select("row_id", "raw_material", "met")
    candidates = rows.select("row_id", "language", "cate_ability", "depth").join(
        speaks, on="row_id", maintain_order="left"
    )
    grid = grid_of(candidates["row_id"], vectors, settings.grid)
    candidates = in_cells(candidates, grid).with_columns(draw("seeds", candidates["row_id"]))
    raw = round_robin(candidates.filter("raw_material")).head(int(settings.max_seeds * settings.raw_share))
    others = round_robin(candidates.filter(~pl.col("raw_material"))).head(settings.max_seeds - raw.height)
    seeds = pl.concat([raw["row_id"], others["row_id"]])
    taken = pl.col("row_id").is_in(seeds.implode()).alias("taken")
    reason = (
        pl.when("taken")
        .then("because")
        .when(pl.col("enough") & pl.col("vetoed"))
        .then(pl.lit("vetoed"))
        .when("enough")
        .then(pl.lit("over_budget"))
        .when(pl.col("met") > 0)
        .then(pl.lit("too_few_criteria"))
        .when("scored")
        .then(pl.lit("no_criterion"))
        .otherwise(pl.lit("not_scored"))
    )
    chosen = table.with_columns(taken).select("row_id", *CRITERIA, "vetoed", "taken", reason.alias("reason"))
    return Picked(chosen, candidates.select("row_id", taken, *CELL), grid.shown)
