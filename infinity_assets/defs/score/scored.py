"""`scored`: scores by models, in a narrow table beside the rows. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.grading import grade
from infinity_assets.defs.step import Step, dataset
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.scoring import language, likelihood, sample


@dataset(
    group="score",
    reads=("decontaminated", "tagged"),
    settings=lambda s: (
        s.scoring,
        s.models.scorer.reach,
        s.models.judge.reach,
        *prompts.hashes(s.prompts_dir, "judge_answer"),
        s.models.reward.reach if s.models.reward else "",
    ),
    columns={
        "row_id": pl.String,
        "answer_language": pl.String,
        "quality": pl.Float64,
        "quality_text": pl.String,
        "reward": pl.Float64,
        "loss": pl.Float64,
        "loss_alone": pl.Float64,
        "ifd": pl.Float64,
        "answer_tokens": pl.Int64,
        "depth": pl.Float64,
        "likelihood_error": pl.String,
        "quality_error": pl.String,
        "reward_error": pl.String,
    },
    meaning={
        "answer_language": "language of the last answer",
        "quality": "the judge's score, 1 to 5: expectation over the digits' probabilities",
        "quality_text": "what the judge wrote",
        "reward": "the reward model's number for the whole conversation, of any size and sign",
        "loss": "mean negative log-probability per answer token, given the conversation, in nats",
        "loss_alone": "the same given nothing",
        "answer_tokens": "tokens of the answer that the loss is over",
        "ifd": "loss / loss_alone; at 1 and above the instruction does not help",
        "depth": "log(1 + number of fine labels) * loss (after InfinityInstruct-Subject)",
        "likelihood_error": "why loss and IFD are null",
        "quality_error": "why quality is null",
        "reward_error": "why reward is null: no_reward_model, no_answer, not_sampled, or what went wrong in the call",
    },
    kinds=("polars", "parquet", "vllm"),
    version="3",
)
def scored(step: Step) -> Outcome:
    """Loss, IFD, judge score and, where the settings name a reward model, reward per row.

    Grain: one row of `decontaminated`. Key: row_id. A score is null with its reason where the row has no answer, was not in the sample,
    or the call failed. DSIR weights need the whole domain at once and are made in `inf_instruct_f`.
    """
    rows, scoring, models = step.read("decontaminated").collect(), step.settings.scoring, step.settings.models
    answered = rows.filter(pl.col("kind") == "conversation")
    taken = step.sampled(sample.take(answered, scoring.max_rows, step.settings.shards))
    inference = step.inference()
    in_context = inference.score(models.scorer, batch.last_answers(taken, with_context=True), "loss")
    alone = inference.score(models.scorer, batch.last_answers(taken, with_context=False), "loss alone")
    asked = taken.select("row_id", "language", request=conversation.content_of("user"), answer=conversation.answer())
    quality = grade(step, inference, asked).select("row_id", quality="score", quality_text="text", quality_error="error")
    rewards = pl.DataFrame(schema={"row_id": pl.String, "reward": pl.Float64, "reward_error": pl.String})
    if models.reward:
        rewarded = inference.reward(models.reward, batch.conversations(taken), "reward")
        rewards = rewarded.frame.select("row_id", "reward", reward_error="error")
    table = (
        rows.select("row_id", language.detect(conversation.answer()).alias("answer_language"))
        .join(step.read("tagged").select("row_id", ability="raw_labels").collect(), on="row_id", how="left")
        .join(likelihood.ifd(in_context.frame, alone.frame), on="row_id", how="left")
        .join(quality, on="row_id", how="left")
        .join(rewards, on="row_id", how="left")
        .with_columns((pl.col("ability").list.len().fill_null(0).cast(pl.Float64).log1p() * pl.col("loss")).alias("depth"))
    )
    why = (
        pl.when(~pl.col("row_id").is_in(answered["row_id"].implode()))
        .then(pl.lit("no_answer"))
        .when(~pl.col("row_id").is_in(taken["row_id"].implode()))
        .then(pl.lit(sample.NOT_SAMPLED))
    )
    table = table.select(
        "row_id", "answer_language", "quality", "quality_text", "reward", "loss", "loss_alone", "ifd", "answer_tokens", "depth",
        pl.coalesce(why, "likelihood_error").alias("likelihood_error"),
        pl.coalesce(why, "quality_error").alias("quality_error"),
        pl.coalesce(pl.lit(None if models.reward else "no_reward_model"), why, "reward_error").alias("reward_error"),
    )  # fmt: skip
    return Outcome(
        table,
        measures={
            "rows with IFD": table["ifd"].count(),
            "rows with quality": table["quality"].count(),
            "rows with reward": table["reward"].count(),
            "mean quality": table["quality"].mean(),  # type: ignore[dict-item]
            "median IFD": table["ifd"].median(),  # type: ignore[dict-item]
        },
        charts={
            "IFD": charts.histogram(table["ifd"], "IFD, loss ratio", low=0, high=1.5),
            "quality": charts.histogram(table["quality"], "judge score", low=1, high=5),
            "reward": charts.histogram(table["reward"], "reward"),
            "loss": charts.histogram(table["loss"], "loss of the answer, nats per token"),
        },
    )
