"""Seeds: rows worth evolving (recipe 3.2). A row is a candidate if at least one criterion holds; the budget then goes round the abilities.

Raw material (instructions without an answer, texts) has no loss or IFD; it is a candidate as it is and has a share of the budget.
"""

import polars as pl

from infinity_assets.chat_settings import Seeds
from infinity_assets.rows.ids import draw

CRITERIA = ("long_tail", "many_labels", "hard_by_loss", "hard_to_follow", "raw_material")


def pick(rows: pl.DataFrame, vocabulary: pl.DataFrame, settings: Seeds) -> pl.DataFrame:
    """Every row with what speaks for it, and whether it is taken.

    Args:
        rows: row_id, kind, cate_ability and ability (lists of coarse and fine labels), label_source, loss, ifd; null where a row was not scored.
            Only labels that the model gave speak for a row: what neighbours agree on is frequent and few, and is not counted in `vocabulary`.
        vocabulary: label, rows.
        settings: Thresholds and the budget.

    Returns:
        One line per row, in the order of the rows: row_id, a boolean per criterion, `taken`, and `reason` (for rows that are not: not_scored,
        no_criterion or over_budget; for those that are: the criteria, joined by +).
    """
    rare = vocabulary.filter(pl.col("rows").is_between(*settings.long_tail))["label"]
    losses = rows["loss"]
    spread = losses.mean(), losses.std()
    hard_loss = float("inf") if spread[0] is None or spread[1] is None else spread[0] + settings.loss_sigma * spread[1]  # type: ignore[operator]
    by_model = pl.col("label_source") == "model"
    is_raw = pl.col("kind") != "conversation"
    frame = rows.select(
        "row_id",
        pl.col("cate_ability").list.first().fill_null("none").alias("ability"),
        (pl.col("ability").list.eval(pl.element().is_in(rare.implode())).list.any() & by_model & ~is_raw)
        .fill_null(False)
        .alias("long_tail"),
        ((pl.col("ability").list.len() >= settings.min_labels) & by_model & ~is_raw).fill_null(False).alias("many_labels"),
        (pl.col("loss") > hard_loss).fill_null(False).alias("hard_by_loss"),
        pl.col("ifd").is_between(*settings.ifd_range).fill_null(False).alias("hard_to_follow"),
        is_raw.alias("raw_material"),
        (by_model.fill_null(False) | pl.col("ifd").is_not_null()).alias("scored"),
        draw("seeds", rows["row_id"]).alias("draw"),
    )
    frame = frame.with_columns(
        pl.sum_horizontal(CRITERIA).alias("criteria"),
        pl.concat_str([pl.when(pl.col(c)).then(pl.lit(c)) for c in CRITERIA], separator="+", ignore_nulls=True).alias("because"),
    )
    raw_places = int(settings.max_seeds * settings.raw_share)
    raw = _round_robin(frame.filter("raw_material")).head(raw_places)
    scored = _round_robin(frame.filter(~pl.col("raw_material") & (pl.col("criteria") > 0))).head(settings.max_seeds - raw.height)
    taken = pl.concat([raw["row_id"], scored["row_id"]])
    frame = frame.with_columns(pl.col("row_id").is_in(taken.implode()).alias("taken"))
    reason = (
        pl.when("taken")
        .then("because")
        .when(pl.col("criteria") > 0)
        .then(pl.lit("over_budget"))
        .when(~pl.col("scored"))
        .then(pl.lit("not_scored"))
        .otherwise(pl.lit("no_criterion"))
    )
    return frame.select("row_id", *CRITERIA, "taken", reason.alias("reason"))


def _round_robin(candidates: pl.DataFrame) -> pl.DataFrame:
    """Ordered so that every prefix is spread over the first abilities of the rows; within one, rows with more criteria first, then by lot."""
    turn = pl.struct(-pl.col("criteria").cast(pl.Int64), "draw", "row_id").rank("ordinal").over("ability")
    return candidates.with_columns(turn.alias("turn")).sort("turn", "ability", "row_id")
