"""Diagnosis of the students' weaknesses. See docs/diagnosis.md.

The students answer, and the judge compares each answer with the reference answer in one or both orders (Lion, arXiv
2305.12870). A model describes the deficiency of a weak answer. A table shows the students' gap for each ability.
"""

from pathlib import Path

import polars as pl

from infinity_assets.inference.requests import EMPTY
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import draw
from infinity_assets.settings.models import Student
from infinity_assets.synthesis.patterns import Patterns
from infinity_assets.synthesis.prompting import Asking

_PATTERNS = Patterns(Path(__file__).with_name("diagnosis.yaml"))

PAIR = "judge_pair"
DEFICIENCY = "find_deficiency"
ALL = "all"
"""Value of `ability` in the line that summarizes all rows."""
UNLABELLED = "unlabelled"
"""Value of `ability` for rows without a label."""

ABILITIES = pl.Schema(
    {
        "round": pl.Int32,
        "ability": pl.String,
        "rows": pl.Int64,
        "answer_score": pl.Float64,
        "reference_score": pl.Float64,
        "student_scores": pl.List(pl.Struct({"student": pl.String, "score": pl.Float64})),
        "gap": pl.Float64,
        "weak": pl.Int64,
        "weak_share": pl.Float64,
        "deficiencies": pl.Int64,
        "seeds": pl.Int64,
        "held_out": pl.Int64,
        "gap_before": pl.Float64,
        "gap_after": pl.Float64,
        "gain": pl.Float64,
        "stop": pl.Boolean,
    }
)
"""Schema of the table of abilities. Key: round, ability. Scores and gaps are means, on the judge's scale of 1 to 5."""

EXAM = pl.Schema({"row_id": pl.String, "before": pl.Float64, "after": pl.Float64})
"""Schema of held-out rows with their gaps (reference minus student score) around fine-tuning. Key: row_id."""

_PLACES = pl.DataFrame(
    [(0, False, "A", True), (1, False, "B", False), (2, True, "A", False), (3, True, "B", True)],
    schema=["index", "swapped", "which", "of_answer"],
    orient="row",
)
"""The judge's questions. `which`: the graded text (A: first, B: second). `of_answer`: it is the student's answer."""


def build_questions(answers: pl.DataFrame, swap: bool) -> pl.DataFrame:
    """Build the questions that ask the judge to grade a student's answer and the reference answer, side by side.

    The two questions of one order are adjacent and differ only in their last word, so that an engine with a prefix
    cache reads the second at almost no cost.

    Args:
        answers: One line per answer: row_id, language, request, reference, answer.
        swap: Whether to ask in both orders.

    Returns:
        Two lines per answer (four with `swap`): row_id, language, request, one and other (the two answers in order),
        which (A to grade `one`, B to grade `other`), index (of the question).
    """
    places = _PLACES if swap else _PLACES.filter(~pl.col("swapped"))
    first = pl.when("swapped").then("reference").otherwise("answer")
    second = pl.when("swapped").then("answer").otherwise("reference")
    asked = answers.join(places, how="cross").sort("row_id", "index")
    return asked.select("row_id", "language", "request", first.alias("one"), second.alias("other"), "which", "index")


def average_grades(grades: pl.DataFrame) -> pl.DataFrame:
    """Average the grades of each answer, and of its reference answer, over the orders of the questions.

    Args:
        grades: One line per question: row_id, index (from `build_questions`), score, error.

    Returns:
        One line per row: row_id, score and reference_score (null if a grade is missing), shift (mean difference of
        a text's grades in first and in second place; null for a single order), error (why a score is null).
    """
    of_answer, score = pl.col("of_answer"), pl.col("score")

    def mean(which: pl.Expr) -> pl.Expr:
        return pl.when(score.filter(which).is_not_null().all()).then(score.filter(which).mean())

    def at(index: int) -> pl.Expr:
        return score.filter(pl.col("index") == index).first()

    errors = (pl.col("error").filter(which).drop_nulls().first() for which in (of_answer, ~of_answer))
    return (
        grades.join(_PLACES, on="index")
        .sort("row_id", "index")
        .group_by("row_id", maintain_order=True)
        .agg(
            score=mean(of_answer),
            reference_score=mean(~of_answer),
            shift=pl.mean_horizontal((at(0) - at(3)).abs(), (at(1) - at(2)).abs()),
            error=pl.coalesce(*errors),
        )
    )


def examine(asking: Asking, asked: pl.DataFrame, student: Student, swap: bool) -> pl.DataFrame:
    """Let a student answer, and let the judge grade its answers. An empty answer scores 1 and is not sent to the judge.

    Args:
        asking: The client of the student and the judge.
        asked: One line per row: row_id, language, messages (for the student), request, reference (answer).
        student: The student.
        swap: Whether to ask the judge in both orders, with 4 questions per row instead of 2.

    Returns:
        One line per row: row_id, student, answer, score, reference_score, shift, error (why a score is null).
    """
    tried = asking.ask_student(student, asked.select("row_id", "messages"))
    given = tried.select("row_id", answer=pl.col("text").fill_null(""), call_error="error")
    answered = asked.join(given, on="row_id", maintain_order="left")
    wrote = pl.col("answer") != ""
    judged = build_questions(answered.filter(wrote), swap)
    scores = average_grades(asking.grade(PAIR, judged, f"grade student {student.name}"))
    silent = ~wrote & (pl.col("call_error").is_null() | (pl.col("call_error") == EMPTY))
    return answered.join(scores, on="row_id", how="left", maintain_order="left").select(
        "row_id",
        pl.lit(student.name).alias("student"),
        "answer",
        pl.when(silent).then(1.0).otherwise("score").alias("score"),
        "reference_score",
        "shift",
        pl.when(wrote).then("error").when(~silent).then("call_error").alias("error"),
    )


def mark_weak(scores: pl.DataFrame, below: float) -> pl.DataFrame:
    """Mark the rows on which every student's score is below a threshold.

    Args:
        scores: One line per row and student, as from `examine`.
        below: The threshold, from 1 to 5.

    Returns:
        One line per row: row_id, student_scores (list of {student, answer, score, reference_score, error}), weak
        (boolean; null if a score is missing).
    """
    score = pl.col("score")
    by_row = scores.sort("row_id", "student").group_by("row_id", maintain_order=True)
    return by_row.agg(
        student_scores=pl.struct("student", "answer", "score", "reference_score", "error"),
        weak=pl.when(score.is_not_null().all()).then((score < below).all()),
    )


def select_weakest_answers(rows: pl.DataFrame) -> pl.DataFrame:
    """Select the lowest-scored answer to each weak row of `rows` (row_id, language, messages, student_scores, weak).

    Returns:
        One line per weak row that has a non-empty answer: row_id, language, request, reference, answer.
    """
    students = rows.filter("weak").select(
        "row_id", "language", "student_scores", request=conversation.instruction(), reference=conversation.answer()
    )
    given = students.explode("student_scores").unnest("student_scores").filter(pl.col("answer") != "")
    lowest = given.sort("row_id", "score", "student").unique("row_id", keep="first", maintain_order=True)
    return lowest.select("row_id", "language", "request", "reference", "answer")


def clean_deficiencies(described: pl.DataFrame) -> pl.DataFrame:
    """Clean the descriptions of deficiencies: keep at most two sentences of the first line, without labels and markup.

    Args:
        described: One line per row: row_id, request, reference, answer, text (the description or null), finish_reason.

    Returns:
        One line per row: row_id, deficiency (null if the description is empty, ends within its first sentence, names
        no deficiency, or repeats the request or an answer).
    """
    text = pl.col("text").fill_null("").str.replace_all("**", "", literal=True).str.strip_chars()
    text = text.str.replace(_PATTERNS["label"], "").str.split("\n").list.first()
    text = text.str.replace(_PATTERNS["bullet"], "").str.replace(_PATTERNS["label"], "").str.strip_chars(' \t"“”「」*')
    sentences = text.str.extract(_PATTERNS["sentences"], 1).str.strip_chars()
    whole = pl.when(pl.col("finish_reason") != "length").then(text)
    cleaned = described.with_columns(text=pl.coalesce(sentences, whole))
    text = pl.col("text")
    others = (_normalize(name) for name in ("request", "reference", "answer"))
    repeats = pl.any_horizontal(other.str.contains(_normalize("text"), literal=True) for other in others)
    usable = text.str.contains(r"\p{L}") & ~_PATTERNS.contains(text, "nothing") & ~repeats
    return cleaned.select("row_id", deficiency=pl.when(usable).then("text"))


def _normalize(name: str) -> pl.Expr:
    """Convert a text column to lower case with single spaces, without punctuation at its ends."""
    return pl.col(name).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars(" .。!！?？")


def draw_held_out(diagnosed: pl.DataFrame, share: float) -> pl.DataFrame:
    """Draw by row id a share of the weak rows, to be withheld from the fine-tuning of the taught student."""
    weak = diagnosed.filter("weak")
    return weak.filter(draw("held_out", weak["row_id"]) < share)


def compare_exams(before: pl.DataFrame, after: pl.DataFrame, student: str) -> pl.DataFrame:
    """Compare a student's gap to the reference answer before and after fine-tuning.

    Args:
        before: Held-out rows: row_id, answer_score, student_scores.
        after: Result of `examine` for the taught student on the held-out rows.
        student: The student's name.

    Returns:
        `EXAM`, without the rows for which one of the gaps is unknown.
    """
    own = (_of_student(student, name).alias(name) for name in _SCORES)
    known = before.select("row_id", "answer_score", *own)
    both = known.join(after.select("row_id", *_SCORES), on="row_id", suffix="_after")
    gaps = (
        (pl.coalesce(f"reference_score{end}", "answer_score") - pl.col(f"score{end}")).alias(name)
        for end, name in (("", "before"), ("_after", "after"))
    )
    return both.select("row_id", *gaps).drop_nulls().cast(EXAM)


_SCORES = ("score", "reference_score")


def summarize_abilities(
    diagnosed: pl.DataFrame, exams: pl.DataFrame, students: tuple[str, ...], *, number: int, last: bool, min_gain: float
) -> pl.DataFrame:
    """Summarize a round by ability. A row counts for each of its abilities and for `all`.

    Args:
        diagnosed: Rows of the round: row_id, cate_ability, answer_score, student_scores, weak, deficiency.
        exams: `EXAM`; empty if no student was taught.
        students: Names of the students.
        number, last: Number of the round, and whether it is the last round.
        min_gain: The loop stops if the mean gap over all held-out rows shrank by less than this.

    Returns:
        `ABILITIES`: first the line `all`, even if there are no rows, then the abilities by descending number of rows.
    """

    def mean_of(field: str) -> pl.Expr:
        return pl.col("student_scores").list.eval(pl.element().struct.field(field)).list.mean()

    # If every student's answer is empty, the judge compared no pair, so that there is no `reference_score`.
    reference = pl.coalesce(mean_of("reference_score"), "answer_score")
    named = pl.col("cate_ability").list.unique(maintain_order=True)
    rows = diagnosed.join(exams, on="row_id", how="left", maintain_order="left").select(
        pl.when(named.list.len() > 0).then(named).otherwise(pl.lit([UNLABELLED])).alias("ability"),
        "answer_score", "weak", "deficiency", "before", "after",
        *(_of_student(student, "score").alias(f"student {place}") for place, student in enumerate(students)),
        reference_score=reference,
        gap=reference - mean_of("score"),
    )  # fmt: skip
    each = [
        pl.struct(student=pl.lit(name), score=pl.col(f"student {place}").mean()) for place, name in enumerate(students)
    ]
    lines = {
        "rows": pl.len(),
        "answer_score": pl.col("answer_score").mean(),
        "reference_score": pl.col("reference_score").mean(),
        "student_scores": pl.concat_list(each),
        "gap": pl.col("gap").mean(),
        "weak": pl.col("weak").sum(),
        "weak_share": pl.col("weak").mean(),
        "deficiencies": pl.col("deficiency").count(),
        "held_out": pl.col("before").count(),
        "gap_before": pl.col("before").mean(),
        "gap_after": pl.col("after").mean(),
    }
    whole = rows.select(ability=pl.lit(ALL), **lines)
    parts = rows.explode("ability").group_by("ability", maintain_order=True).agg(**lines)
    table = pl.concat([whole, parts.sort(pl.col("rows") * -1, "ability")], how="vertical_relaxed")
    gain = pl.col("gap_before") - pl.col("gap_after")
    stop = (pl.col("ability") == ALL) & (gain < min_gain).fill_null(False)
    seeds = pl.when(pl.lit(last) | stop.any()).then(0).otherwise("weak")
    table = table.with_columns(round=pl.lit(number), gain=gain, stop=stop, seeds=seeds)
    return table.select(ABILITIES.names()).cast(ABILITIES)


def _of_student(student: str, field: str) -> pl.Expr:
    own = pl.element().filter(pl.element().struct.field("student") == student)
    return pl.col("student_scores").list.eval(own.struct.field(field)).list.first()


def spread_students(table: pl.DataFrame) -> pl.DataFrame:
    """Replace the column `student_scores` of `ABILITIES` by one column per student, `student NAME`."""
    names = table["student_scores"].explode().struct.field("student").drop_nulls().unique(maintain_order=True)
    place = table.columns.index("student_scores")
    return table.select(
        *table.columns[:place],
        *(_of_student(name, "score").alias(f"student {name}") for name in names),
        *table.columns[place + 1 :],
    )
