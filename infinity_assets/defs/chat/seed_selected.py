"""`seed_selected`: rows that are worth evolving. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.foundation.candidates import add_columns
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform, decide, json_detail
from infinity_assets.selection.seeds import summary
from infinity_assets.selection.seeds.criteria import CRITERIA, KNOWN
from infinity_assets.selection.seeds.picking import Picked, pick
from infinity_assets.settings.chat import Seeds

_PLACE = ("row_id", "source", "file", "position", "kind", "language")
_LABELS = ("cate_ability", "ability")
_TABLES = {
    "measured": ("prompt_chars", "marked_wrong"),
    "labelled": (*_LABELS, "label_source"),
    "scored": ("loss", "ifd", "depth"),
    "loss_after": ("loss_after",),
}
_DETAIL = (*_LABELS, "label_source", "loss", "loss_after", "ifd", "depth")


@dataset(
    group="chat",
    invariants=("conservation", "unique"),
    reads=("decontaminated", "measured", "labelled", "scored", "loss_after", "vectors", "tag_vocabulary"),
    settings=lambda s: (s.chat.seeds,),
    columns={
        **schema.ROW,
        **dict.fromkeys((*CRITERIA, "vetoed"), pl.Boolean),
        **dict.fromkeys(_LABELS, pl.List(pl.String)),
    },
    version="3",
)
def seed_selected(step: Step) -> Outcome:
    """Seeds: rows that meet criteria, are not vetoed, and fit a budget that is spread over a grid of prompt vectors.

    Grain: one row. Key: row_id. Each criterion is a boolean column. In `decisions`, the reason of a seed names the
    criteria that it meets. Other rows have the reason not_scored, no_criterion, too_few_criteria, marked_wrong,
    vetoed or over_budget.
    """
    recipe = step.settings.chat.seeds
    rows = step.read("decontaminated").select(_PLACE).collect(engine="streaming")
    rows = add_columns(step.read, rows, _TABLES)
    known = conform(rows, KNOWN)
    picked = pick(known, step.read("vectors"), step.read("tag_vocabulary").collect(), recipe)
    rows = rows.join(picked.rows, on="row_id", maintain_order="left")
    verdict = pl.when("taken").then(pl.lit("chosen")).otherwise(pl.lit("dropped"))
    taken = rows.filter("taken").select("row_id", *CRITERIA, "vetoed", *_LABELS)
    seeds = step.read("decontaminated").join(taken.lazy(), on="row_id").collect(engine="streaming")
    return Outcome(
        seeds.select(*schema.ROW, *CRITERIA, "vetoed", *_LABELS).sort("row_id"),
        rows_in=rows.height,
        decisions=decide(rows, verdict, detail=json_detail(*_DETAIL)),
        measures=_measures(rows, picked, recipe),
        charts={
            "criteria": charts.table(summary.count_by_criterion(picked.rows, recipe)),
            "rows that two criteria share": charts.table(summary.count_by_pair(picked.rows)),
            "abilities": charts.table(_count_by_ability(rows), rows=26),
            "sources": charts.table(_count_by(rows, "source"), rows=40),
            "coverage": charts.table(summary.count_occupied_cells(picked.cells)),
            "candidates on the grid": charts.heat_map(
                summary.count_by_cell(picked.cells, recipe.grid), "candidates per cell"
            ),
            "seeds on the grid": charts.heat_map(
                summary.count_by_cell(picked.cells.filter("taken"), recipe.grid), "seeds per cell"
            ),
        },
    )


def _measures(rows: pl.DataFrame, picked: Picked, recipe: Seeds) -> dict[str, int | float | str | None]:
    off = None if recipe.tuned.enabled else "off: chat.seeds.tuned.enabled is false"
    return {
        "candidates": picked.cells.height,
        "seeds": int(picked.cells["taken"].sum()),
        "criteria that a seed must meet": str(recipe.combine),
        "small_loss_drop and veto": off or f"from {rows['loss_after'].count():,} rows with a loss before and after",
        "cells of the grid": recipe.grid**2,
        "share of the vectors' variance on the grid": picked.shown,
    }


def _count_by_ability(rows: pl.DataFrame) -> pl.DataFrame:
    """Count rows, candidates and seeds by coarse ability. A row counts for each of its abilities."""
    return _count_by(
        rows.select("taken", "reason", "cate_ability")
        .explode("cate_ability")
        .with_columns(pl.col("cate_ability").fill_null("unlabelled")),
        "cate_ability",
    )


def _count_by(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """Count rows, candidates and seeds by a column, most seeds first."""
    candidate = pl.col("taken") | (pl.col("reason") == "over_budget")
    counts = rows.group_by(by).agg(
        pl.len().alias("rows"), candidate.sum().alias("candidates"), pl.col("taken").sum().alias("seeds")
    )
    return counts.sort(-pl.col("seeds").cast(pl.Int64), -pl.col("candidates").cast(pl.Int64), by)
