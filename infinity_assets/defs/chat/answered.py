"""`answered`: answers to evolved instructions, one asset per round. Grain: a conversation. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import ANSWERED, FAILED
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.inference import batch
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import add_row_ids, shard_of
from infinity_assets.scoring import language
from infinity_assets.synthesis import answers, execution, quota
from infinity_assets.synthesis.lineage import Generation, add_siblings, merge_copies, settle
from infinity_assets.synthesis.prompting import Asking


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("evolved", number)

    @dataset(
        round=number,
        group="chat", partitions="shard", invariants=("conservation", "grammar", "unique"),
        batched=True,
        reads_all=(upstream,),
        settings=lambda s: (
            s.shards, s.chat.answering, s.scoring, s.calls.retries, s.models.generator.answer_id, s.models.judge.answer_id,
            s.models.reward.answer_id if s.models.reward else "no reward model",
            *prompts.hashes(s.prompts_dir, "judge_answer"),
        ),
        columns=ANSWERED,
        kinds=("polars", "parquet", "vllm"),
        seconds=25,
        version="10",
    )  # fmt: skip
    def answered(step: Step) -> Outcome:
        """The generator's best answer to each evolved instruction, with its scores.

        Grain: one conversation. Key: row_id. The row id of the instruction decides the shard, so an instruction that
        several seeds led to is answered once. Degenerate answers (empty, truncated, shirking, looping, in a wrong
        language, ...) are dropped with their class as the reason. So are programs that fail their tests or examples.
        """
        arrived = step.sampled(step.read(upstream).filter(shard_of(step.settings.shards) == step.partition).collect())
        asked, copies = merge_copies(arrived)
        recipe = step.settings.chat.answering
        generator = step.settings.models.generator.model
        waves: list[pl.DataFrame] = []

        def make(asked: pl.DataFrame) -> pl.DataFrame:
            waves.append(_draw_answers(step.asking(), asked))
            return waves[-1]

        def decide(candidates: pl.DataFrame, failed: pl.DataFrame) -> Generation:
            best, others = answers.choose(candidates)
            failed = pl.concat([best.filter(pl.col("reason").is_not_null()).select(FAILED), failed])
            return add_siblings(settle(best, ANSWERED, [], failed, by=generator), others, by=generator)

        wanted = quota.shard_quota(recipe.accept, step.settings.shards, step.partition)
        result, untried = quota.try_until_accepted(
            asked.with_columns(request=conversation.instruction()), wanted, step.asset, make, decide
        )
        return Outcome(
            result.kept,
            rows_in=arrived.height,
            rows_created=result.created.height,
            decisions=pl.concat([result.decisions, copies, untried]),
            edges=result.edges,
            measures=_measures(waves),
            charts=_charts(waves, result.kept),
        )

    return answered


def _draw_answers(asking: Asking, asked: pl.DataFrame) -> pl.DataFrame:
    """Sample answers, apply the rules, run the programs, and score the usable answers. Return one line per answer."""
    recipe = asking.settings.chat.answering
    written = asking.chat("answer", asked, recipe.sampling, samples=recipe.samples)
    candidates = asked.join(written, on="row_id").sort("row_id", "index")
    text = pl.col("text").fill_null("")
    candidates = candidates.with_columns(messages=conversation.exchange(pl.col("request"), text))
    candidates = candidates.with_columns(
        add_row_ids(candidates.select("messages"))["row_id"].alias("answer_id"),
        line=pl.format("{}:{}", "row_id", "index"),
    )
    failed, verdicts = _find_failures(candidates, asking)
    candidates = candidates.join(verdicts, on="line", how="left", maintain_order="left").join(
        failed, on="line", how="left", maintain_order="left"
    )
    usable = candidates.filter(pl.col("reason").is_null()).unique("answer_id", keep="first", maintain_order=True)
    usable = usable.select("row_id", "index", "answer_id", "language", "request", "messages", answer="text")
    # One answer per instruction at a time: requests have the instruction's row id, and a plan counts by row id.
    draws = [usable.filter(pl.col("index") == index) for index in range(recipe.samples)]
    scores = pl.concat([_score(asking, drawn) for drawn in draws])
    candidates = candidates.join(scores, on="answer_id", how="left", maintain_order="left")
    # All answers to an instruction must be compared by the same score.
    all_rewarded = (pl.col("reward").is_not_null() | pl.col("reason").is_not_null()).all().over("row_id")
    by_reward = all_rewarded & (recipe.best_by == "reward")
    return candidates.drop("line").with_columns(
        pl.when(by_reward).then("reward").otherwise("answer_score").alias("score"),
        pl.when(by_reward).then(pl.lit("reward")).otherwise(pl.lit("judge")).alias("by"),
        pl.lit("conversation").alias("kind"),
        language.detect(pl.concat_str("request", text, separator="\n")).alias("language"),
        pl.lit("answer").alias("operation"),
    )


def _find_failures(candidates: pl.DataFrame, asking: Asking) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the failed answers (line, reason, detail), and the sandbox results of programs (line, execution, why)."""
    recipe = asking.settings.chat.answering
    lines = candidates.select("request", "text", "tests", "finish_reason", "error", row_id="line")
    failed = answers.find_degenerate(lines)
    good = lines.join(failed, on="row_id", how="anti", maintain_order="left")
    verdicts = execution.execute(good if recipe.execute else good.clear(), recipe.limits)
    wrong = answers.find_degenerate(good.join(verdicts.filter(pl.col("said").is_not_null()), on="row_id"))
    return pl.concat([failed, wrong]).rename({"row_id": "line"}), verdicts.select("execution", "why", line="row_id")


def _score(asking: Asking, drawn: pl.DataFrame) -> pl.DataFrame:
    """Score one usable answer per instruction.

    Returns:
        answer_id; the judge's answer_score and answer_score_error; reward, null if there is no reward model or the call
        failed.
    """
    graded = asking.grade("judge_answer", drawn.select("row_id", "language", "request", "answer"))
    scores = drawn.select("row_id", "answer_id").join(
        graded.select("row_id", answer_score="score", answer_score_error="error"), on="row_id", how="left"
    )
    spec = asking.settings.models.reward
    if spec is None:
        return scores.drop("row_id").with_columns(reward=pl.lit(None, pl.Float64))
    rewards = asking.inference.reward(spec, batch.build_reward_requests(drawn), "reward").frame
    rewards = rewards.select("row_id", pl.col("reward").cast(pl.Float64))
    return scores.join(rewards, on="row_id", how="left").drop("row_id")


def _measures(waves: list[pl.DataFrame]) -> dict[str, int | float | str | None]:
    candidates = pl.concat(waves)
    usable = candidates.filter(pl.col("reason").is_null())
    # Gain of best-of-n, in the unit of the score: best score minus mean score of the usable answers, per instruction.
    gains = usable.group_by("row_id", "by").agg(gain=pl.col("score").max() - pl.col("score").mean(), drawn=pl.len())
    several = gains.filter(pl.col("drawn") > 1)
    gain = several.group_by("by").agg(pl.col("gain").mean()).sort("by")
    not_run = candidates.filter(pl.col("why").is_not_null(), pl.col("execution").is_null())["why"]
    return {
        "answers drawn": candidates.height,
        "answers usable": usable.height,
        **{f"best of several, gain by {by}": value for by, value in gain.iter_rows()},
        "programs not run": len(not_run),
        "reason for not running": not_run[0] if len(not_run) else None,
    }


def _charts(waves: list[pl.DataFrame], kept: pl.DataFrame) -> dict[str, str]:
    candidates = pl.concat(waves)
    verdict = pl.coalesce(
        "execution", pl.when(pl.col("why").is_not_null()).then(pl.lit("not run")), pl.lit("nothing to run")
    )
    return {
        "answers by class": _count_table(candidates, pl.col("reason").fill_null("usable").alias("class")),
        "executions": _count_table(candidates, verdict.alias("verdict")),
        "answer score": charts.histogram(kept["answer_score"], "judge's score of the answer", low=1, high=5),
        "reward": charts.histogram(kept["reward"], "reward of the answer"),
    }


def _count_table(candidates: pl.DataFrame, by: pl.Expr) -> str:
    return charts.table(candidates.group_by(by).len("answers").sort(pl.col("answers") * -1, pl.first()))


rounds = [_make(number) for number in ROUNDS]
