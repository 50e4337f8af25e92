"""The choice of seeds: rows that meet enough criteria and are not vetoed, up to a budget spread over a grid."""

from typing import NamedTuple

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.selection.seeds.coverage import CELL, assign_cells, lay_grid, round_robin
from infinity_assets.selection.seeds.criteria import CRITERIA, evaluate_criteria
from infinity_assets.selection.selector import first_condition
from infinity_assets.settings.chat import Seeds


class Picked(NamedTuple):
    """The chosen seeds, and the reasons of all other rows."""

    rows: pl.DataFrame
    """One line per row, in their order: row_id, a boolean per criterion, `vetoed`, `taken`, and `reason`: for a seed
    its criteria, joined by +; else not_scored, no_criterion, too_few_criteria, marked_wrong, vetoed or
    over_budget."""
    cells: pl.DataFrame
    """One line per candidate (a seed, or a row over budget): row_id, taken, and its cell (`coverage.CELL`)."""
    shown: float | None
    """Share of the variance of the candidates' vectors that the grid shows."""


def pick(rows: pl.DataFrame, vectors: pl.LazyFrame, vocabulary: pl.DataFrame, settings: Seeds) -> Picked:
    """Pick the seeds among rows of the schema `criteria.KNOWN`.

    `vectors` has row_id and vector (may be null) of these and possibly other rows. `vocabulary` has label and rows.
    """
    table = evaluate_criteria(rows, vocabulary, settings)
    eligible = table.filter("enough", ~pl.col("vetoed"), ~pl.col("marked_wrong")).select(
        "row_id", "raw_material", "met"
    )
    known = rows.select("row_id", "language", "cate_ability", "depth")
    candidates = known.join(eligible, on="row_id", maintain_order="left")
    grid = lay_grid(candidates["row_id"], vectors, settings.grid)
    candidates = assign_cells(candidates, grid).with_columns(draw("seeds", candidates["row_id"]))
    raw = round_robin(candidates.filter("raw_material")).head(int(settings.max_seeds * settings.raw_share))
    others = round_robin(candidates.filter(~pl.col("raw_material"))).head(settings.max_seeds - raw.height)
    seeds = pl.concat([raw["row_id"], others["row_id"]])
    taken = pl.col("row_id").is_in(seeds.implode()).alias("taken")
    conditions = {
        "marked_wrong": pl.col("marked_wrong"),
        "vetoed": pl.col("enough") & pl.col("vetoed"),
        "over_budget": pl.col("enough"),
        "too_few_criteria": pl.col("met") > 0,
        "no_criterion": pl.col("scored"),
        "not_scored": pl.lit(True),
    }
    reason = pl.coalesce(pl.when("taken").then("because"), first_condition(conditions))
    chosen = table.with_columns(taken).select("row_id", *CRITERIA, "vetoed", "taken", reason.alias("reason"))
    return Picked(chosen, candidates.select("row_id", taken, *CELL), grid.shown)
