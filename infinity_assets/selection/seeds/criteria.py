"""Criteria for seeds, one boolean column each, and the veto (arXiv 2506.11116, 2507.06968).

Raw material (instructions without an answer, and texts) has no loss, because it has no answer. It has a criterion of
its own. docs/seeds.md has the formulas.
"""

from typing import get_args

import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.settings.chat import Criterion, Seeds

CRITERIA: tuple[str, ...] = get_args(Criterion)

KNOWN: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.String, "kind": pl.String, "prompt_chars": pl.Int64, "language": pl.String,
    "cate_ability": pl.List(pl.String), "ability": pl.List(pl.String), "label_source": pl.String, "loss": pl.Float64,
    "loss_after": pl.Float64, "ifd": pl.Float64, "depth": pl.Float64, "marked_wrong": pl.Boolean,
}  # fmt: skip
"""Columns that the criteria read. `prompt_chars` is the length of the user turns, `loss_after` the loss under the
scorer after training, and `marked_wrong` says that a dataset calls the answer wrong. Labels and scores are null for
rows that were not labelled or scored."""


def evaluate_criteria(rows: pl.DataFrame, vocabulary: pl.DataFrame, settings: Seeds) -> pl.DataFrame:
    """Evaluate the criteria on every row.

    Only labels from the tagger count. Labels spread from neighbors are few and frequent, and the vocabulary (label,
    rows) does not count them. The rows have the schema `KNOWN`.

    Returns:
        One line per row, in their order: row_id; every criterion of `CRITERIA`, in force or not, `marked_wrong` and
        `vetoed`, all false if a row lacks the data; `scored`, true if the row is raw material or has labels or scores of a model;
        `met`, the number of criteria in force that hold; `enough`, true if `combine` requires no more; `because`, the
        names of these criteria, joined by +.
    """
    raw = pl.col("kind") != "conversation"
    labelled = (pl.col("label_source") == "model").fill_null(False) & ~raw
    loss = pl.col("loss")
    loss_drop = pl.col("loss") - pl.col("loss_after")
    rare = _with_label_in(vocabulary, *settings.long_tail)
    less_rare = _with_label_in(vocabulary, *settings.long_tail_sampled)
    drawn = pl.lit(draw("long_tail", rows["row_id"])) < settings.long_tail_share
    # The row id breaks ties, so that the order of the rows has no effect.
    place = pl.struct(loss_drop.fill_null(float("inf")), "row_id").rank("ordinal")
    holds = {
        "long_tail": (rare | (less_rare & drawn)) & labelled,
        "many_labels": (pl.col("ability").list.len() >= settings.min_labels) & labelled,
        "hard_by_loss": loss > loss.mean() + settings.loss_sigma * loss.std(),
        "hard_to_follow": pl.col("ifd").is_between(*settings.ifd_range),
        "small_loss_drop": loss_drop.is_not_null() & (place <= loss_drop.count() * settings.small_drop_share),
        "raw_material": raw & ((pl.col("kind") != "text") | (pl.col("prompt_chars") >= settings.min_text_chars)),
    }
    veto = pl.lit(False)
    if settings.veto_sigma is not None:
        veto = loss_drop > loss_drop.mean() + settings.veto_sigma * loss_drop.std()
    scored = labelled | loss.is_not_null() | pl.col("ifd").is_not_null() | raw
    criteria = [holds[name].fill_null(False).alias(name) for name in CRITERIA]
    marked_wrong = pl.col("marked_wrong").fill_null(False)
    table = rows.select("row_id", *criteria, marked_wrong, vetoed=veto.fill_null(False), scored=scored)
    in_force = [name for name in CRITERIA if name in settings.criteria]
    of_kind = [_count_possible(settings, raw=kind) for kind in (True, False)]
    possible = pl.when("raw_material").then(of_kind[0]).otherwise(of_kind[1])
    wanted = {"any": pl.lit(1), "all": possible}.get(str(settings.combine))
    if wanted is None:
        wanted = pl.min_horizontal(pl.lit(settings.combine), possible)
    names = [pl.when(name).then(pl.lit(name)) for name in in_force]
    return table.with_columns(
        met=pl.sum_horizontal(in_force).cast(pl.Int64), because=pl.concat_str(names, separator="+", ignore_nulls=True)
    ).with_columns(enough=pl.col("met") >= pl.max_horizontal(wanted, pl.lit(1)))


def _with_label_in(vocabulary: pl.DataFrame, low: int, high: int) -> pl.Expr:
    """Return whether a row has a fine label that `low` to `high` rows carry."""
    labels = vocabulary.filter(pl.col("rows").is_between(low, high))["label"]
    return pl.col("ability").list.eval(pl.element().is_in(labels.implode())).list.any().fill_null(False)


def _count_possible(settings: Seeds, *, raw: bool) -> int:
    """Return the number of criteria in force that raw material, or a conversation, can meet."""
    of_kind = {"raw_material"} if raw else set(CRITERIA) - {"raw_material"}
    return len(of_kind.intersection(settings.criteria) - (set() if settings.tuned.enabled else {"small_loss_drop"}))
