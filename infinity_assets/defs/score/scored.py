"""`scored`: scores of rows by models. Grain: a row of `decontaminated`. Key: row_id."""

import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.frames import count_by
from infinity_assets.rows.schema import texts
from infinity_assets.scoring import language, likelihood, sample
from infinity_assets.settings.foundation import Score

_LIKELIHOODS = ("loss", "loss_alone", "ifd", "ifd_perplexity", "loss_instruction", "ic_ifd")
_SCORED = {
    **texts("row_id", "answer_language"),
    "quality": pl.Float64,
    "quality_text": pl.String,
    **dict.fromkeys(("complexity", "reward", *_LIKELIHOODS), pl.Float64),
    **dict.fromkeys(("answer_tokens", "labels"), pl.Int64),
    "depth": pl.Float64,
    **texts("likelihood_error", "ic_ifd_error", "quality_error", "complexity_error", "reward_error", "depth_error"),
}


@dataset(
    group="score",
    partitions="shard",
    invariants=("unique",),
    reads=("decontaminated", "tagged"),
    settings=lambda s: (
        s.shards, s.scoring, s.calls.retries, s.models.scorer.answer_id, s.models.judge.answer_id,
        *prompts.hashes(s.prompts_dir, "judge_answer", "judge_complexity"),
        s.models.reward.answer_id if s.models.reward else "",
    ),
    columns=_SCORED,
    kinds=("polars", "parquet", "vllm"),
    seconds=41,
    version="4",
)  # fmt: skip
def scored(step: Step) -> Outcome:
    """Model scores of every row: losses, IFD, depth, the judge's grades of quality and complexity, and the reward.

    Grain: one row of `decontaminated`. Key: row_id. A missing score is null, never 0, and has a reason: no answer, not
    in the sample, not wanted by the settings, no reward model, or a failed call.
    """
    rows, scoring, models = step.read("decontaminated").collect(), step.settings.scoring, step.settings.models
    answered = rows.filter(pl.col("kind") == "conversation")
    taken = step.sampled(sample.take(answered, scoring.max_rows, step.settings.shards))
    asking, no_rows = step.asking(), taken.clear()

    def rows_for(*scores: Score) -> pl.DataFrame:
        return taken if set(scores) & set(scoring.scores) else no_rows

    def described(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("row_id", "language", request=conversation.content_of("user"), answer=conversation.answer())

    by_likelihood = rows_for("ifd", "ic_ifd")
    requests = {
        "loss": batch.build_answer_score_requests(by_likelihood, with_context=True),
        "loss alone": batch.build_answer_score_requests(by_likelihood, with_context=False),
        "loss of requests": batch.build_user_turn_score_requests(rows_for("ic_ifd")),
    }
    likelihoods = likelihood.losses(
        *(asking.inference.score(models.scorer, asked, stage).frame for stage, asked in requests.items())
    )
    quality = asking.grade("judge_answer", described(rows_for("quality"))).select(
        "row_id", quality="score", quality_text="text", quality_error="error"
    )
    complexity = asking.grade("judge_complexity", described(rows_for("complexity")))
    complexity = complexity.select("row_id", complexity="score", complexity_error="error")
    rewards = pl.DataFrame(schema={"row_id": pl.String, "reward": pl.Float64, "reward_error": pl.String})
    if models.reward:
        rewarded = asking.inference.reward(models.reward, batch.build_reward_requests(rows_for("reward")), "reward")
        rewards = rewarded.frame.select("row_id", "reward", reward_error="error")
    table = rows.select("row_id", language.detect(conversation.answer()).alias("answer_language")).join(
        step.read("tagged").select("row_id", labels=pl.col("raw_labels").list.len().cast(pl.Int64)).collect(),
        on="row_id",
        how="left",
    )
    for scores in (likelihoods, quality, complexity, rewards):
        table = table.join(scores, on="row_id", how="left")
    table = table.with_columns((pl.col("labels").cast(pl.Float64).log1p() * pl.col("loss")).alias("depth"))
    why = (
        pl.when(~pl.col("row_id").is_in(answered["row_id"].implode()))
        .then(pl.lit("no_answer"))
        .when(~pl.col("row_id").is_in(taken["row_id"].implode()))
        .then(pl.lit(sample.NOT_SAMPLED))
    )

    def reason(column: str, *scores: Score, otherwise: str | None = None) -> pl.Expr:
        wanted = set(scores) & set(scoring.scores)
        return pl.coalesce(pl.lit(otherwise), why, pl.lit(None if wanted else "not_wanted"), column).alias(column)

    table = table.with_columns(
        reason("likelihood_error", "ifd", "ic_ifd"),
        reason("ic_ifd_error", "ic_ifd"),
        reason("quality_error", "quality"),
        reason("complexity_error", "complexity"),
        reason("reward_error", "reward", otherwise=None if models.reward else "no_reward_model"),
    )
    no_labels = pl.when(pl.col("labels").is_null()).then(pl.lit("no_labels"))
    no_depth = pl.when(pl.col("depth").is_null()).then(pl.coalesce("likelihood_error", no_labels))
    table = table.with_columns(no_depth.alias("depth_error")).select(list(_SCORED))
    counted = ("ifd", "ic_ifd", "quality", "complexity", "reward", "depth")
    errors = table.select(pl.selectors.ends_with("_error"))
    missing = errors.unpivot(variable_name="score", value_name="reason").drop_nulls()
    return Outcome(
        table,
        measures={
            **{f"rows with {name}": table[name].count() for name in counted},
            "mean quality": table["quality"].mean(),  # type: ignore[dict-item]
            "median IFD": table["ifd"].median(),  # type: ignore[dict-item]
        },
        charts={
            "IFD": charts.histogram(table["ifd"], "IFD, loss ratio", low=0, high=1.5),
            "IFD by perplexity": charts.histogram(table["ifd_perplexity"], "IFD, perplexity ratio", low=0, high=1.5),
            "IC-IFD": charts.histogram(table["ic_ifd"], "IC-IFD, 1/nats", low=0, high=1),
            "quality": charts.histogram(table["quality"], "judge score", low=1, high=5),
            "complexity": charts.histogram(
                table["complexity"], "complexity of the request, by the judge", low=1, high=5
            ),
            "reward": charts.histogram(table["reward"], "reward"),
            "loss": charts.histogram(table["loss"], "loss of the answer, nats per token"),
            "missing scores": charts.table(count_by(missing, "score", "reason", within=1)),
        },
    )
