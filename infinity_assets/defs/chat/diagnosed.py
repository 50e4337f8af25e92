"""`diagnosed`, one asset per round. Grain: a conversation, with the students' scores. Key: row_id."""

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.rounds import DIAGNOSED, MEANING, ROUNDS, round_name
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.synthesis import diagnosis


def _make(number: int) -> dg.AssetsDefinition:
    name, upstream = round_name("diagnosed", number), round_name("answered", number)

    @dataset(
        name=name,
        group="chat",
        together=True,
        reads=(upstream,),
        settings=lambda s: (
            s.chat.diagnosis, s.scoring, *(part for student in s.models.students for part in student.parts),
            s.models.judge.reach, *prompts.hashes(s.prompts_dir, "judge_answer"),
        ),
        columns=DIAGNOSED,
        meaning=MEANING,
        kinds=("polars", "parquet", "vllm"),
        version="3",
    )  # fmt: skip
    def diagnosed(step: Step) -> Outcome:
        """The same conversations, with the students' answers judged: a row on which all are weak is a seed of the next round.

        Grain: one conversation. Key: row_id. By default both students are the embedded model under two samplings (`students` below names
        them): that shows the machinery at work, not a difference between models.
        """
        recipe, students, asking = step.settings.chat.diagnosis, step.settings.models.students, step.asking()
        rows = step.sampled(step.read(upstream).collect())
        asked = rows.select("row_id", "language", conversation.request().alias("messages"), request=conversation.instruction())
        scores = []
        for student in students:
            tried = asking.chat(f"student:{student.name}", asked, student.sampling, by=student.model, told=f"student {student.name}")
            said = asked.join(tried.select("row_id", answer=pl.col("text").fill_null("")), on="row_id")
            grades = asking.grade("judge_answer", said)
            scores.append(
                said.select("row_id", "answer").join(grades.select("row_id", "score", "error", student=pl.lit(student.name)), on="row_id")
            )
        found = diagnosis.weak(pl.concat(scores), recipe.weak_below)
        diagnosed = rows.join(found, on="row_id", how="left").with_columns(deficiency=pl.lit(None, pl.String))
        table = diagnosed.select(pl.col(c).cast(t) for c, t in DIAGNOSED.items()).sort("row_id")
        weak = table.filter("weak")
        chosen = weak.with_columns(
            pl.lit("chosen").alias("verdict"),
            pl.lit("every_student_weak").alias("reason"),
            pl.struct("answer_score", "student_scores").struct.json_encode().alias("detail"),
        )
        return Outcome(
            table,
            rows_in=rows.height,
            decisions=chosen.select(list(schema.DECISIONS)),
            measures={
                "students": "; ".join(f"{s.name}: {s.model.model}, temperature {s.sampling.temperature:g}" for s in students),
                "rows on which every student is weak": weak.height,
            },
            charts={"abilities": charts.table(diagnosis.by_ability(table), rows=26)},
        )

    return diagnosed


rounds = [_make(number) for number in ROUNDS]
