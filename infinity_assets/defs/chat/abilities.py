"""`abilities`: scores by ability, one asset per round. Grain: an ability in a round. Key: round, ability."""

from collections.abc import Sequence

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs import training
from infinity_assets.defs.chat.diagnosed import questions
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import Part, in_round
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.report import charts
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Student
from infinity_assets.synthesis import diagnosis
from infinity_assets.training.proxy import draw_sample


def _settings_key(settings: Settings, number: int) -> tuple[Part, ...]:
    """Return the settings that `abilities` depends on. The settings of the exam count only if a student is taught."""
    recipe, models = settings.chat.diagnosis, settings.models
    known = (*(student.name for student in models.students), number < settings.chat.rounds, recipe.min_gain)
    if not recipe.taught.enabled:
        return known
    return (
        recipe, *known, *models.students[0].parts, settings.scoring, models.judge.answer_id, settings.calls.retries,
        *prompts.hashes(settings.prompts_dir, diagnosis.PAIR),
    )  # fmt: skip


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("diagnosed", number)
    before = [in_round("diagnosed", earlier) for earlier in range(1, number)]
    previous = (in_round("abilities", number - 1),) if number > 1 else ()

    @dataset(
        round=number,
        group="chat",
        reads=(upstream, *before, *previous),
        settings=lambda s: _settings_key(s, number),
        columns=diagnosis.ABILITIES,
        kinds=("polars", "parquet", "pytorch", "vllm"),
    )
    def abilities(step: Step) -> Outcome:
        """Scores of the students by coarse ability, in this and earlier rounds, and the effect of teaching a student.

        Grain: an ability in a round. Key: round, ability. If `chat.diagnosis.taught.enabled` is true, the first student
        is fine-tuned on the answers of all rounds so far, without some held-out weak rows. Its gap to the reference
        answers is measured on this round's held-out rows, before and after. If the gap closes by less than
        `chat.diagnosis.min_gain`, `stop` is true for the ability `all`, and later rounds evolve no seed.
        """
        recipe, students = step.settings.chat.diagnosis, step.settings.models.students
        rows = step.read(upstream).collect()
        exams, measures = _exam(step, rows, before)
        names = tuple(student.name for student in students)
        last = number == step.settings.chat.rounds
        current = diagnosis.summarize_abilities(rows, exams, names, number=number, last=last, min_gain=recipe.min_gain)
        table = pl.concat([*(step.read(asset).collect() for asset in previous), current])
        return Outcome(
            table,
            measures=measures | {"the loop stops": bool(table["stop"].any())},
            charts={"gap": _draw_gaps(table, number), **_round_tables(table, number)},
        )

    return abilities


def _exam(step: Step, rows: pl.DataFrame, before: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str | int | float]]:
    """Teach the first student. Return its gaps on held-out rows before and after (`diagnosis.EXAM`), and measures."""
    recipe = step.settings.chat.diagnosis
    student = step.settings.models.students[0]
    nothing = pl.DataFrame(schema=diagnosis.EXAM)
    if not step.trains:
        return nothing, {"taught student": "none: a plan trains nothing"}
    if not recipe.taught.enabled:
        return nothing, {"taught student": "none: chat.diagnosis.taught.enabled is false"}
    frames = [*(step.read(earlier).collect() for earlier in before), rows]
    held = [diagnosis.draw_held_out(frame, recipe.held_out) for frame in frames]
    unseen, asked = pl.concat([frame.select("row_id") for frame in held]), held[-1]
    shown = pl.concat([frame.select("row_id", "messages") for frame in frames]).join(unseen, on="row_id", how="anti")
    if asked.is_empty():
        return nothing, {"taught student": "none: no weak row is held out"}
    if shown.is_empty():
        return nothing, {"taught student": "none: every row is held out"}
    taught, measures = _teach(step, student, draw_sample(shown.unique("row_id"), recipe.taught))
    after = diagnosis.examine(step.asking(), questions(asked), taught, recipe.swap)
    return diagnosis.compare_exams(asked, after, student.name), measures


def _teach(step: Step, student: Student, rows: pl.DataFrame) -> tuple[Student, dict[str, str | int | float]]:
    """Fine-tune a student in a separate process, after closing the engines of this process. Return it and measures."""
    if student.model.backend == "openai":
        raise InfinityError(
            f"`chat.diagnosis.taught` trains the student {student.name}, whose weights must be here, not on a server."
        )
    settings = step.settings.chat.diagnosis.taught
    folder, result = training.train(step, rows, settings, student.model, step.lake.data / "taught" / step.asset)
    spec = training.tuned_model(student.model, folder.resolve())
    measures = {
        "taught student": f"{student.name}: {folder.relative_to(step.lake.data).as_posix()}",
        "rows that the student was taught on": result.rows,
        "rows without an answer in the window": result.left_out,
        "first loss": result.curve["loss"][0],
        "last loss": result.curve["loss"][-1],
    }
    return student.model_copy(update={"model": spec}), measures


def _round_tables(table: pl.DataFrame, last: int) -> dict[str, str]:
    """Return the table of each round, the last one first, without empty columns."""
    tables = {}
    for number in range(last, 0, -1):
        lines = diagnosis.spread_students(table.filter(round=number)).drop("round", "stop")
        tables[f"round {number}"] = charts.table(lines.select(column for column in lines if column.count()), rows=30)
    return tables


def _draw_gaps(table: pl.DataFrame, number: int) -> str:
    """Draw the gaps of a round before and after teaching. If no student was taught, compare with the previous round."""
    lines = table.filter(pl.col("round") == number)
    if lines["gap_after"].count():
        taught = lines.select("ability", "gap_before", "gap_after").drop_nulls()
        return charts.pairs(taught, "gap before teaching and after, points")
    past = table.filter(pl.col("round") == number - 1).select("ability", past="gap")
    compared = lines.join(past, on="ability", how="left", maintain_order="left").select("ability", "past", "gap")
    return charts.pairs(compared.filter(pl.col("gap").is_not_null()), "gap in the round before and in this one, points")


rounds = [_make(number) for number in ROUNDS]
