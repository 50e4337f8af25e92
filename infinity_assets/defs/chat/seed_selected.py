"""`seed_selected`: the rows worth evolving. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.selection.seeds import summary
from infinity_assets.selection.seeds.criteria import CRITERIA, KNOWN
from infinity_assets.selection.seeds.picking import Picked, pick
from infinity_assets.settings.chat import Seeds

_PLACE = ("row_id", "source", "file", "position", "kind", "language")
_LABELS = ("cate_ability", "ability")
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
    meaning={
        "long_tail": "carries a rare fine label, or a less rare one and was drawn",
        "many_labels": "carries many fine labels",
        "hard_by_loss": "the loss of its answer is far above the mean",
        "hard_to_follow": "its IFD is high",
        "small_loss_drop": "training the scorer takes little of its loss away",
        "raw_material": "has no answer, or is a text",
        "vetoed": "training the scorer takes so much of its loss away that it is soon learnt by heart; false for every seed",
        "cate_ability": "coarse abilities",
        "ability": "fine labels",
    },
    version="2",
)
def seed_selected(step: Step) -> Outcome:
    """Seeds: rows worth evolving, by criteria, a veto, and a budget that goes round a grid over what the rows are about.

    Grain: one row. Key: row_id. The criteria that hold for a row are columns, those that chose it the reason in `decisions`, where every
    other row has its own: not_scored, no_criterion, too_few_criteria, vetoed or over_budget.
    """
    recipe = step.settings.chat.seeds
    rows = step.read("decontaminated").select(_PLACE).collect(engine="streaming")
    for asset, columns in (
        ("measured", ("prompt_chars",)),
        ("labelled", (*_LABELS, "label_source")),
        ("scored", ("loss", "ifd", "depth")),
        ("loss_after", ("loss_after",)),
    ):
        rows = rows.join(
            step.read(asset).select("row_id", *columns).collect(), on="row_id", how="left", maintain_order="left"
        )
    known = rows.select(pl.col(name).cast(dtype) for name, dtype in KNOWN.items())
    picked = pick(known, step.read("vectors"), step.read("tag_vocabulary").collect(), recipe)
    rows = rows.join(picked.rows, on="row_id", maintain_order="left")
    verdict = pl.when("taken").then(pl.lit("chosen")).otherwise(pl.lit("dropped"))
    decisions = rows.with_columns(verdict.alias("verdict"), pl.struct(_DETAIL).struct.json_encode().alias("detail"))
    taken = rows.filter("taken").select("row_id", *CRITERIA, "vetoed", *_LABELS)
    seeds = step.read("decontaminated").join(taken.lazy(), on="row_id").collect(engine="streaming")
    return Outcome(
        seeds.select(*schema.ROW, *CRITERIA, "vetoed", *_LABELS).sort("row_id"),
        rows_in=rows.height,
        decisions=decisions.select(list(schema.DECISIONS)),
        measures=_measures(rows, picked, recipe),
        charts={
            "criteria": charts.table(summary.brought(picked.rows, recipe)),
            "rows that two criteria share": charts.table(summary.shared(picked.rows)),
            "abilities": charts.table(_abilities(rows), rows=26),
            "sources": charts.table(_counted(rows, "source"), rows=40),
            "coverage": charts.table(summary.covered(picked.cells)),
            "candidates on the grid": charts.heat_map(
                summary.counts_on_grid(picked.cells, recipe.grid), "candidates per cell"
            ),
            "seeds on the grid": charts.heat_map(
                summary.counts_on_grid(picked.cells.filter("taken"), recipe.grid), "seeds per cell"
            ),
        },
    )


def _measures(rows: pl.DataFrame, picked: Picked, recipe: Seeds) -> dict[str, int | float | str | None]:
    off = None if recipe.tuned.enabled else "off: chat.seeds.tuned.enabled is false"
    return {
        "candidates": picked.cells.height,
        "seeds": int(picked.cells["taken"].sum()),
        "how many criteria": str(recipe.combine),
        "small_loss_drop and veto": off or f"by {rows['loss_after'].count():,} rows with a loss before and after",
        "cells of the grid": recipe.grid**2,
        "share of the vectors' variance on the grid": picked.shown,
    }


def _abilities(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows and seeds per coarse ability; a row counts in each of its own."""
    return _counted(
        rows.select("taken", "reason", "cate_ability")
        .explode("cate_ability")
        .with_columns(pl.col("cate_ability").fill_null("unlabelled")),
        "cate_ability",
    )


def _counted(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """Rows, candidates and seeds, most seeds first."""
    candidate = pl.col("taken") | (pl.col("reason") == "over_budget")
    counts = rows.group_by(by).agg(
        pl.len().alias("rows"), candidate.sum().alias("candidates"), pl.col("taken").sum().alias("seeds")
    )
    return counts.sort(-pl.col("seeds").cast(pl.Int64), -pl.col("candidates").cast(pl.Int64), by)
