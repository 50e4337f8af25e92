"""`preferences`: the best and the worst answer to a request. Grain: a pair. Key: row_id, of the chosen conversation."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.frames import conform

_ANSWERED = [in_round("answered", number) for number in ROUNDS]
PREFERENCES = pl.Schema(
    {
        **schema.texts("row_id", "prompt"),
        **dict.fromkeys(("chosen", "rejected"), schema.MESSAGES),
        **dict.fromkeys(("chosen_score", "rejected_score", "margin"), pl.Float64),
        **schema.texts("scored_by", "source", "licence", "domain", "language"),
    }
)


@dataset(
    group="chat",
    invariants=("unique",),
    reads=(*_ANSWERED, "inf_instruct_g"),
    settings=lambda s: (
        s.chat.answering.min_margin,
        s.models.judge.weights_id,
        s.models.reward.weights_id if s.models.reward else "no reward model",
    ),
    columns=PREFERENCES,
)
def preferences(step: Step) -> Outcome:
    """Preference pairs: the best and the worst answer to each request of InfInstruct-G.

    Grain: one pair. Key: row_id, of the chosen conversation. A row of `answered` with several answers has a pair if it
    or its continuation is in InfInstruct-G and the scores differ by more than `chat.answering.min_margin`. As in
    Infinity-Preference, one model wrote both answers, and their scores decide which is the best and which the worst.
    """
    rows = pl.concat([step.read(asset) for asset in _ANSWERED]).filter(pl.col("rejected").is_not_null()).collect()
    g = step.read("inf_instruct_g").select("row_id", "parents").collect()
    survives = pl.concat([g["row_id"], g["parents"].explode().drop_nulls()]).unique()
    worst, by_reward = pl.col("rejected").struct, pl.col("rejected").struct.field("by") == "reward"
    models = step.settings.models
    pairs = (
        rows.sort("row_id", "round")
        .unique("row_id", keep="first", maintain_order=True)
        .filter(pl.col("row_id").is_in(survives.implode()))
        .select(
            *("row_id", "source", "licence", "domain", "language"),
            prompt=conversation.instruction(),
            chosen="messages",
            rejected=conversation.exchange(conversation.instruction(), worst.field("answer")),
            chosen_score=pl.when(by_reward).then("reward").otherwise("answer_score"),
            rejected_score=worst.field("score"),
            scored_by=pl.when(by_reward)
            .then(pl.lit(models.reward.weights_id if models.reward else None, pl.String))
            .otherwise(pl.lit(models.judge.weights_id)),
        )
        .with_columns(margin=pl.col("chosen_score") - pl.col("rejected_score"))
        .filter(pl.col("margin") > step.settings.chat.answering.min_margin)
    )
    pairs = conform(pairs, PREFERENCES)
    by_domain = pairs.group_by("domain", "language", "scored_by").agg(pl.len().alias("pairs"), pl.col("margin").mean())
    return Outcome(
        pairs,
        measures={"pairs": pairs.height},
        charts={
            "margin": charts.histogram(pairs["margin"], "score of the chosen answer less that of the rejected one"),
            "domains": charts.table(by_domain.sort(pl.col("pairs") * -1, "domain", "language", "scored_by")),
        },
    )
