"""`abilities`, one asset per round. Grain: an ability in a round. Key: round, ability."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.chat.diagnosed import questions
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.partitions import ROUNDS
from infinity_assets.defs.registry import Part, in_round
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.models import local_path
from infinity_assets.progress import reporter
from infinity_assets.report import charts
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Student
from infinity_assets.synthesis import diagnosis
from infinity_assets.training import proxy as training

_MEANING = {
    "round": "round of the chat loop, from 1",
    "ability": "coarse ability of the rows; `all` for all rows, `unlabelled` for those without one",
    "rows": "rows with this ability; a row counts in each of its own",
    "answer_score": "mean of the judge's score of the answer alone",
    "reference_score": "mean of the judge's score of the answer beside the students'; where none wrote anything, that of the answer alone",
    "student_scores": "mean score of every student",
    "gap": "mean of the reference's score less the students' mean score",
    "weak": "rows on which every student is weak",
    "weak_share": "their share of the rows that have all scores",
    "deficiencies": "weak rows of which it is told in words what the students lack",
    "seeds": "weak rows that the next round begins with",
    "held_out": "weak rows that the taught student was not shown and is compared on",
    "gap_before": "on these, mean of the reference's score less the first student's",
    "gap_after": "the same of that student once it has been taught",
    "gain": "points by which the gap closed",
    "stop": "whether the gap closed by less than the setting over all rows: the next round is not begun",
}


def _decides(settings: Settings, number: int) -> tuple[Part, ...]:
    """What decides the table: that of the exam only where there is one."""
    recipe, models = settings.chat.diagnosis, settings.models
    known = (*(student.name for student in models.students), number < settings.chat.rounds)
    if not recipe.taught.enabled:
        return known
    student = models.students[0].parts
    return (
        recipe,
        *known,
        *student,
        settings.scoring,
        models.judge.reach,
        *prompts.hashes(settings.prompts_dir, diagnosis.PAIR),
    )


def _make(number: int) -> dg.AssetsDefinition:
    upstream = in_round("diagnosed", number)
    before = [in_round("diagnosed", earlier) for earlier in range(1, number)]
    told = (in_round("abilities", number - 1),) if number > 1 else ()

    @dataset(
        round=number,
        group="chat",
        reads=(upstream, *before, *told),
        settings=lambda s: _decides(s, number),
        columns=diagnosis.ABILITIES,
        meaning=_MEANING,
        kinds=("polars", "parquet", "pytorch", "vllm"),
    )
    def abilities(step: Step) -> Outcome:
        """What the students can do, by coarse ability, in this round and those before; and, if asked for, whether teaching closed the gap.

        Grain: an ability in a round. Key: round, ability. With `chat.diagnosis.taught.enabled` the first student is fine-tuned on the answers of
        all rounds so far but for some of the weak rows, and compared on these with itself before. Where the gap closed by less than
        `chat.diagnosis.min_gain`, `stop` is true on the line of `all`, and the rounds that follow begin with no row.
        """
        recipe, students = step.settings.chat.diagnosis, step.settings.models.students
        rows = step.read(upstream).collect()
        exams, measures = _exam(step, rows, before)
        names, last = tuple(student.name for student in students), number == step.settings.chat.rounds
        here = diagnosis.by_ability(rows, exams, names, number=number, last=last, min_gain=recipe.min_gain)
        table = pl.concat([*(step.read(asset).collect() for asset in told), here])
        return Outcome(
            table,
            measures=measures | {"the loop stops": bool(table["stop"].any())},
            charts={
                "gap": _drawn(table, number),
                **{f"round {one}": _listed(table, one) for one in range(number, 0, -1)},
            },
        )

    return abilities


def _exam(step: Step, rows: pl.DataFrame, before: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str | int | float]]:
    """How far the first student was behind before and after it was taught, `diagnosis.EXAM`, and what the page says of it."""
    recipe, student, nothing = (
        step.settings.chat.diagnosis,
        step.settings.models.students[0],
        pl.DataFrame(schema=diagnosis.EXAM),
    )
    if not recipe.taught.enabled or not step.trains:
        return nothing, {
            "taught student": "none: chat.diagnosis.taught.enabled is false"
            if step.trains
            else "none: a plan trains nothing"
        }
    frames = [*(step.read(earlier).collect() for earlier in before), rows]
    held = [diagnosis.held_out(frame, recipe.held_out) for frame in frames]
    unseen, asked = pl.concat([frame.select("row_id") for frame in held]), held[-1]
    shown = pl.concat([frame.select("row_id", "messages") for frame in frames]).join(unseen, on="row_id", how="anti")
    if asked.is_empty() or shown.is_empty():
        return nothing, {
            "taught student": "none: no weak row is held out" if asked.is_empty() else "none: every row is held out"
        }
    taught, told = _taught(step, student, training.sampled(shown.unique("row_id"), recipe.taught))
    after = diagnosis.examined(step.asking(), questions(asked), taught, recipe.swap)
    return diagnosis.exam(asked, after, student.name), told


def _taught(step: Step, student: Student, rows: pl.DataFrame) -> tuple[Student, dict[str, str | int | float]]:
    """The student, fine-tuned on these rows in a process of its own, after the engines of this one have been closed."""
    if student.model.backend == "openai":
        raise InfinityError(
            f"`chat.diagnosis.taught` trains the student {student.name}, whose weights must be here, not on a server."
        )
    settings = step.settings.chat.diagnosis.taught
    folder = step.lake.data / "taught" / step.asset / training.name(rows, settings, student.model.identity)
    step.inference().release()

    def advance(done: int, total: int, note: str) -> None:
        reporter().advance(done, total, "training steps", note)

    made = training.train(rows, settings, local_path(student.model, step.models.engines.folder), folder, advance)
    _forget_others(folder)
    spec = student.model.model_copy(update={"model": str(folder.resolve()), "revision": folder.name})
    told = {
        "taught student": f"{student.name}: {folder.relative_to(step.lake.data).as_posix()}",
        "rows that it was taught on": made.rows,
        "rows without an answer in the window": made.left_out,
        "first loss": made.curve["loss"][0],
        "last loss": made.curve["loss"][-1],
    }
    return student.model_copy(update={"model": spec}), told


def _forget_others(folder: Path) -> None:
    for other in folder.parent.iterdir():
        if other != folder and not other.name.startswith("."):  # one that begins with a dot is being written
            shutil.rmtree(other)


def _listed(table: pl.DataFrame, number: int) -> str:
    """A round's lines, without the columns that hold nothing."""
    here = diagnosis.wide(table.filter(pl.col("round") == number)).drop("round", "stop")
    return charts.table(here.select(column for column in here if column.count()), rows=30)


def _drawn(table: pl.DataFrame, number: int) -> str:
    """The gaps of the round, before and after teaching; where nobody was taught, beside those of the round before."""
    here = table.filter(pl.col("round") == number)
    if here["gap_after"].count():
        return charts.pairs(
            here.select("ability", "gap_before", "gap_after").drop_nulls(), "gap before teaching and after, points"
        )
    past = table.filter(pl.col("round") == number - 1).select("ability", past="gap")
    compared = here.join(past, on="ability", how="left", maintain_order="left").select("ability", "past", "gap")
    return charts.pairs(compared.filter(pl.col("gap").is_not_null()), "gap in the round before and in this one, points")


rounds = [_make(number) for number in ROUNDS]
