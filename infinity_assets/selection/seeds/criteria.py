"""What speaks for a row as a seed: one boolean per criterion, and the veto (arXiv 2506.11116, 2507.06968). docs/seeds.md has the formulas.

Raw material (instructions without an answer, texts) has no answer whose loss could be measured: it is a seed as it is.
"""

from typing import get_args

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Criterion, Seeds

CRITERIA: tuple[str, ...] = get_args(Criterion)

KNOWN: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.String,
    "kind": pl.String,
    "prompt_chars": pl.Int64,
    "language": pl.String,
    "cate_ability": pl.List(pl.String),
    "ability": pl.List(pl.String),
    "label_source": pl.String,
    "loss": pl.Float64,
    "loss_after": pl.Float64,
    "ifd": pl.Float64,
    "depth": pl.Float64,
}
"""What is known of a row: `prompt_chars` is the length of its user turns, the rest null
where it was not labelled or scored. `loss_after` is the loss under the trained scorer."""


def judged(rows: pl.DataFrame, vocabulary: pl.DataFrame, settings: Seeds) -> pl.DataFrame:
    """What speaks for every row.

    Only labels that the model gave speak for a row: what neighbours agree on is frequent and few, and is not counted in `vocabulary`.

    Args:
        rows: `KNOWN`, one line per row.
        vocabulary: label, rows.
        settings: Thresholds, the criteria in force and how many of them have to hold.

    Returns:
        One line per row, in their order: row_id; every criterion of `CRITERIA`, in force or not, and `vetoed`, false where a row lacks what they
        are about; `scored`, whether a model was asked about the row; `met`, how many of the criteria in force hold; `enough`, whether these are
        as many as `combine` asks for; `because`, their names, joined by +.
    """
    raw = pl.col("kind") != "conversation"
    labelled = (pl.col("label_source") == "model").fill_null(False) & ~raw
    loss, fell = pl.col("loss"), pl.col("loss") - pl.col("loss_after")
    rare, less_rare = (
        _with_label_in(vocabulary, *bounds) for bounds in (settings.long_tail, settings.long_tail_sampled)
    )
    by_lot = pl.lit(draw("long_tail", rows["row_id"])) < settings.long_tail_share
    holds = {
        "long_tail": (rare | (less_rare & by_lot)) & labelled,
        "many_labels": (pl.col("ability").list.len() >= settings.min_labels) & labelled,
        "hard_by_loss": loss > loss.mean() + settings.loss_sigma * loss.std(),
        "hard_to_follow": pl.col("ifd").is_between(*settings.ifd_range),
        # Ties by row id, so that the order of the rows does not decide.
        "small_loss_drop": fell.is_not_null()
        & (
            pl.struct(fell.fill_null(float("inf")), "row_id").rank("ordinal")
            <= fell.count() * settings.small_drop_share
        ),
        "raw_material": raw & ((pl.col("kind") != "text") | (pl.col("prompt_chars") >= settings.min_text_chars)),
    }
    veto = pl.lit(False) if settings.veto_sigma is None else fell > fell.mean() + settings.veto_sigma * fell.std()
    scored = (labelled | loss.is_not_null() | pl.col("ifd").is_not_null() | raw).alias("scored")
    in_force = [name for name in CRITERIA if name in settings.criteria]
    table = rows.select(
        "row_id",
        *(holds[name].fill_null(False).alias(name) for name in CRITERIA),
        veto.fill_null(False).alias("vetoed"),
        scored,
    )
    possible = pl.when("raw_material").then(_possible(settings, raw=True)).otherwise(_possible(settings, raw=False))
    wanted = {"any": pl.lit(1), "all": possible}.get(
        str(settings.combine), pl.min_horizontal(pl.lit(settings.combine), possible)
    )
    return table.with_columns(
        pl.sum_horizontal(in_force).cast(pl.Int64).alias("met") if in_force else pl.lit(0, pl.Int64).alias("met"),
        pl.concat_str(
            [pl.when(name).then(pl.lit(name)) for name in in_force] or pl.lit(""), separator="+", ignore_nulls=True
        ).alias("because"),
    ).with_columns((pl.col("met") >= pl.max_horizontal(wanted, pl.lit(1))).alias("enough"))


def _with_label_in(vocabulary: pl.DataFrame, low: int, high: int) -> pl.Expr:
    """Whether a row has a fine label of a frequency in this range."""
    labels = vocabulary.filter(pl.col("rows").is_between(low, high))["label"]
    return pl.col("ability").list.eval(pl.element().is_in(labels.implode())).list.any().fill_null(False)


def _possible(settings: Seeds, *, raw: bool) -> int:
    """How many of the criteria in force can hold for raw material, or for a conversation."""
    of_kind = {"raw_material"} if raw else set(CRITERIA) - {"raw_material"}
    return len(of_kind.intersection(settings.criteria) - (set() if settings.tuned.enabled else {"small_loss_drop"}))
