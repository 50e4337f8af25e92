"""`answered`, one asset per round. Grain: a conversation written by the generator. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import ANSWERED, MEANING, ROUNDS, WORSE, round_name
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import shard_of
from infinity_assets.scoring import language
from infinity_assets.synthesis import answers, quota
from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.descent import Generation, merge_copies, settle


def _make(number: int) -> dg.AssetsDefinition:
    name, upstream = round_name("answered", number), round_name("evolved", number)

    @dataset(
        name=name,
        group="chat",
        together=True,
        reads_all=(upstream,),
        settings=lambda s: (
            s.shards, s.chat.answering, s.scoring, s.models.generator.reach, s.models.judge.reach,
            *prompts.hashes(s.prompts_dir, "judge_answer"),
        ),
        columns=ANSWERED,
        meaning=MEANING,
        kinds=("polars", "parquet", "vllm"),
        version="4",
    )  # fmt: skip
    def answered(step: Step) -> Outcome:
        """The generator's answers to the evolved instructions, scored by the judge.

        Grain: one conversation. Key: row_id, by whose instruction's id it is sharded: what several seeds led to is answered
        once. Degenerate answers (empty, truncated, shirking, looping, of a wrong language) are dropped by class.
        """
        arrived = step.sampled(step.read_all(upstream).filter(shard_of(step.settings.shards) == step.partition).collect())
        asked, copies = merge_copies(arrived)

        def make(asked: pl.DataFrame) -> pl.DataFrame:
            return _answers(step.asking(), asked)

        def decide(made: pl.DataFrame, failed: pl.DataFrame) -> Generation:
            return settle(made, ANSWERED, answers.rules(), failed, by=step.settings.models.generator.model)

        wanted = quota.share_of(step.settings.chat.answering.accept, step.settings.shards, step.partition)
        result, untried = quota.until_accepted(asked.with_columns(request=conversation.instruction()), wanted, name, make, decide)
        return Outcome(
            result.kept,
            rows_in=arrived.height,
            rows_created=result.created.height,
            decisions=pl.concat([result.decisions, copies, untried]),
            edges=result.edges,
            charts={"answer score": charts.histogram(result.kept["answer_score"], "judge's score of the answer", low=1, high=5)},
        )

    return answered


def _answers(asking: Asking, asked: pl.DataFrame) -> pl.DataFrame:
    """What the generator answers, with the judge's score: one line per instruction."""
    written = asking.chat("answer", asked, asking.settings.chat.answering.sampling)
    made = asked.join(written.drop("index"), on="row_id")
    graded = made.filter(pl.col("text").fill_null("") != "").select("row_id", "language", "request", answer="text")
    scores = asking.grade("judge_answer", graded).select("row_id", answer_score="score", answer_score_error="error")
    return made.join(scores, on="row_id", how="left").with_columns(
        pl.concat_list(
            pl.struct(role=pl.lit("user"), content="request"),
            pl.struct(role=pl.lit("assistant"), content=pl.col("text").fill_null("")),
        ).alias("messages"),
        pl.lit("conversation").alias("kind"),
        language.detect(pl.concat_str("request", pl.col("text").fill_null(""), separator="\n")).alias("language"),
        pl.lit("answer").alias("operation"),
        reward=pl.lit(None, pl.Float64),
        execution=pl.lit(None, pl.String),
        rejected=pl.lit(None, WORSE),
    )


rounds = [_make(number) for number in ROUNDS]
