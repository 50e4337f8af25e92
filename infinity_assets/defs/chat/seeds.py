"""`seed_selected`: the rows worth evolving. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.selection import seeds


@dataset(
    group="chat",
    reads=("decontaminated", "labelled", "scored", "tag_vocabulary"),
    settings=lambda s: (s.chat.seeds,),
    columns={**schema.ROW, **dict.fromkeys(seeds.CRITERIA, pl.Boolean), "cate_ability": pl.List(pl.String), "ability": pl.List(pl.String)},
    meaning={
        "long_tail": "carries a rare fine label",
        "many_labels": "carries many fine labels",
        "hard_by_loss": "the loss of its answer is far above the mean",
        "hard_to_follow": "its IFD is high",
        "raw_material": "has no answer, or is a text",
        "cate_ability": "coarse abilities",
        "ability": "fine labels",
    },
)
def seed_selected(step: Step) -> Outcome:
    """Seeds: rows worth evolving, by five criteria and a budget that goes round the abilities.

    Grain: one row. Key: row_id. The criteria that speak for a row are columns, and the reason in `decisions`.
    """
    recipe = step.settings.chat.seeds
    pool = step.read("decontaminated").collect()
    told = step.read("labelled").select("row_id", "cate_ability", "ability", "label_source").collect()
    described = pool.join(told, on="row_id", how="left").join(
        step.read("scored").select("row_id", "loss", "ifd").collect(), on="row_id", how="left"
    )
    picked = seeds.pick(described, step.read("tag_vocabulary").collect(), recipe)
    rows = described.join(picked, on="row_id")
    verdict = pl.when("taken").then(pl.lit("chosen")).otherwise(pl.lit("dropped"))
    decisions = rows.with_columns(
        verdict.alias("verdict"), pl.struct("cate_ability", "ability", "label_source", "loss", "ifd").struct.json_encode().alias("detail")
    ).select(list(schema.DECISIONS))
    taken = rows.filter("taken")
    brings = pl.DataFrame(
        {
            "criterion": seeds.CRITERIA,
            "rows it holds for": [int(rows[c].sum()) for c in seeds.CRITERIA],
            "rows taken": [int(taken[c].sum()) for c in seeds.CRITERIA],
            "taken, by it alone": [taken.filter(pl.col("reason") == c).height for c in seeds.CRITERIA],
        }
    )
    return Outcome(
        taken.select(*schema.ROW, *seeds.CRITERIA, "cate_ability", "ability").sort("row_id"),
        rows_in=pool.height,
        decisions=decisions,
        charts={
            "criteria": charts.table(brings),
            "abilities": charts.table(_abilities(taken), rows=26),
        },
    )


def _abilities(taken: pl.DataFrame) -> pl.DataFrame:
    """Rows per coarse ability; a row counts in each of its own."""
    return taken.explode("cate_ability").group_by("cate_ability").len("rows").sort(pl.col("rows") * -1, "cate_ability")
