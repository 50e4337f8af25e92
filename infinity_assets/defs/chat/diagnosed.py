"""`diagnosed`: conversations with the students' scores, one asset per round. Grain: a conversation. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import DIAGNOSED
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import in_round
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation
from infinity_assets.rows.frames import conform, decide, json_detail
from infinity_assets.synthesis import diagnosis
from infinity_assets.synthesis.prompting import Asking


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("answered", number)

    @dataset(
        round=number,
        group="chat", partitions="shard", invariants=("conservation", "unique"),
        batched=True,
        reads=(upstream,),
        settings=lambda s: (
            s.chat.diagnosis, s.scoring, s.calls.retries,
            *(part for student in s.models.students for part in student.parts),
            s.models.judge.answer_id, *prompts.hashes(s.prompts_dir, diagnosis.PAIR, diagnosis.DEFICIENCY),
        ),
        columns=DIAGNOSED,
        kinds=("polars", "parquet", "vllm"),
        seconds=26,
        version="4",
    )  # fmt: skip
    def diagnosed(step: Step) -> Outcome:
        """Conversations of `answered`, with the judge's scores of the students' answers and of the reference answer.

        Grain: one conversation. Key: row_id. A row on which all students are weak becomes a seed of the next round, and
        the judge describes what the weakest student's answer lacks. By default, both students are the same small model
        with two samplings. That shows how the asset works, but no difference between models.
        """
        recipe, students, asking = step.settings.chat.diagnosis, step.settings.models.students, step.asking()
        rows = step.sampled(step.read(upstream).collect())
        asked = questions(rows)
        scores = pl.concat([diagnosis.examine(asking, asked, student, recipe.swap) for student in students])
        with_scores = rows.join(diagnosis.mark_weak(scores, recipe.weak_below), on="row_id", how="left")
        lacks = pl.DataFrame(schema={"row_id": pl.String, "deficiency": pl.String})
        if recipe.deficiencies:
            lacks = _describe_deficiencies(asking, with_scores)
        table = conform(with_scores.join(lacks, on="row_id", how="left"), DIAGNOSED).sort("row_id")
        weak = table.filter("weak")
        scores_of = json_detail("answer_score", "student_scores")
        return Outcome(
            table,
            rows_in=rows.height,
            decisions=decide(weak, "chosen", "every_student_weak", scores_of),
            measures={
                "students": "; ".join(
                    f"{s.name}: {s.model.model}, temperature {s.sampling.temperature:g}" for s in students
                ),
                "rows on which every student is weak": weak.height,
                "rows with a described weakness": table["deficiency"].count(),
                "rows without a score of a student": table["weak"].null_count(),
                "position bias of the judge, points": scores.select(pl.mean("shift")).item(),
            },
            charts={
                "deficiencies": charts.table(
                    weak.select("deficiency", request=conversation.instruction()).drop_nulls(), rows=10
                ),
                "students": charts.histogram(scores["score"], "judge's score of a student's answer", low=1, high=5),
                "references": charts.histogram(
                    scores["reference_score"], "judge's score of the reference answer", low=1, high=5
                ),
            },
        )

    return diagnosed


def questions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the students' tasks with the reference answers: row_id, language, messages, request, reference."""
    return rows.select(
        "row_id",
        "language",
        conversation.request().alias("messages"),
        request=conversation.instruction(),
        reference=conversation.answer(),
    )


def _describe_deficiencies(asking: Asking, rows: pl.DataFrame) -> pl.DataFrame:
    """Ask the judge what the weakest student's answer to each weak row lacks. Return row_id and deficiency."""
    settings = asking.settings
    cut = pl.col("request", "reference", "answer").str.slice(0, settings.scoring.max_chars)
    asked = diagnosis.select_weakest_answers(rows).with_columns(cut)
    descriptions = asking.write(
        diagnosis.DEFICIENCY, asked, settings.chat.diagnosis.deficiency_sampling, by=settings.models.judge
    )
    return diagnosis.clean_deficiencies(asked.join(descriptions, on="row_id"))


rounds = [_make(number) for number in ROUNDS]
