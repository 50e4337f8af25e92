"""Diagnosis: where the students are weak (recipe 3.4). They answer, the judge compares each answer with the reference in both orders (Lion, arXiv
2305.12870), what a weak answer lacks is said in words, and a table tells by ability how far the students are behind. docs/diagnosis.md.
"""

import polars as pl

from infinity_assets.inference.requests import EMPTY
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import draw
from infinity_assets.settings.models import Student
from infinity_assets.synthesis.prompting import Asking

PAIR = "judge_pair"
DEFICIENCY = "find_deficiency"
ALL = "all"
"""The ability that every row has."""
UNLABELLED = "unlabelled"
"""The ability of rows that have no other."""

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
"""A line per round and ability. Scores and gaps are means over rows, in points of the judge (1 to 5)."""

EXAM = pl.Schema({"row_id": pl.String, "before": pl.Float64, "after": pl.Float64})
"""A row that was held out: by how much the reference was scored above the student before and after it was taught."""

_PLACES = pl.DataFrame(
    {
        "index": [0, 1, 2, 3],
        "swapped": [False, False, True, True],
        "which": ["A", "B", "A", "B"],
        "of_answer": [True, False, False, True],
    }
)
"""The judge's questions about an answer (A) and its reference (B), which `swapped` stand the other way round."""

_LABEL = r"(?i)^(?:what (?:it|the answer|the student's answer) lacks|deficiency|weakness|missing|缺少的是|缺少|缺点|不足)\s*[:：]\s*"
_BULLET = r"^(?:[-*•]|\d+[.)、])\s+"
_SENTENCES = r"^((?:.*?(?:[.!?][\"”’')]*(?:\s|$)|[。！？][”」]?)){1,2})"
"""One or two sentences; a point inside a number ends none."""
_NOTHING = r"(?i)^\W*(?:nothing|none|n/?a|(?:it|the answer) lacks nothing|无|没有|什么都不缺)\W*$"


def questions(answers: pl.DataFrame, swap: bool) -> pl.DataFrame:
    """What the judge is asked about answers and their references.

    The two questions of one order differ in their last word and stand together, so that an engine that keeps prefixes reads the second for
    next to nothing.

    Args:
        answers: row_id, language, request, reference, answer.
        swap: Whether both orders are shown.

    Returns:
        Two lines per row, or four: row_id, language, request, one, other, which (A: a grade of `one`; B: of `other`), index (of the question).
    """
    places = _PLACES if swap else _PLACES.filter(~pl.col("swapped"))
    first, second = (
        pl.when("swapped").then(one).otherwise(other)
        for one, other in (("reference", "answer"), ("answer", "reference"))
    )
    asked = answers.join(places, how="cross").with_columns(first.alias("one"), second.alias("other"))
    return asked.sort("row_id", "index").select("row_id", "language", "request", "one", "other", "which", "index")


def means(grades: pl.DataFrame) -> pl.DataFrame:
    """The grades of one answer and its reference as one score each: the mean over the orders, null if one is missing.

    Args:
        grades: A line per question: row_id, index (as `questions` gives it), score, error.

    Returns:
        A line per row: row_id, score, reference_score, shift (mean distance of the two grades that a text got first and second; null for one
        order), error (why a score is null).
    """
    of_answer, score = pl.col("of_answer"), pl.col("score")

    def mean(which: pl.Expr) -> pl.Expr:
        return pl.when(score.filter(which).is_not_null().all()).then(score.filter(which).mean())

    def at(index: int) -> pl.Expr:
        return score.filter(pl.col("index") == index).first()

    return (
        grades.join(_PLACES, on="index")
        .sort("row_id", "index")
        .group_by("row_id", maintain_order=True)
        .agg(
            mean(of_answer).alias("score"),
            mean(~of_answer).alias("reference_score"),
            pl.mean_horizontal((at(0) - at(3)).abs(), (at(1) - at(2)).abs()).alias("shift"),
            pl.coalesce(
                *(pl.col("error").filter(which).drop_nulls().first() for which in (of_answer, ~of_answer))
            ).alias("error"),
        )
    )


def examined(asking: Asking, asked: pl.DataFrame, student: Student, swap: bool) -> pl.DataFrame:
    """A student's answers, scored beside the references: 2 or 4 calls of the judge per row. Nothing written scores 1, and is not judged.

    Args:
        asking: The models.
        asked: row_id, language, messages (what the student is given), request, reference.
        student: Who answers.
        swap: Whether the judge sees both orders.

    Returns:
        One line per row: row_id, student, answer, score, reference_score, shift, error (why a score is null).
    """
    told = f"student {student.name}"
    tried = asking.chat(
        f"student:{student.name}", asked.select("row_id", "messages"), student.sampling, by=student.model, told=told
    )
    said = asked.join(
        tried.select("row_id", answer=pl.col("text").fill_null(""), call_error="error"),
        on="row_id",
        maintain_order="left",
    )
    judged = questions(said.filter(pl.col("answer") != ""), swap)
    scores = means(asking.grade(PAIR, judged, f"grade {told}"))
    silent = (pl.col("answer") == "") & (pl.col("call_error").is_null() | (pl.col("call_error") == EMPTY))
    why = pl.when(pl.col("answer") != "").then("error").when(~silent).then("call_error")
    return said.join(scores, on="row_id", how="left", maintain_order="left").select(
        "row_id",
        pl.lit(student.name).alias("student"),
        "answer",
        pl.when(silent).then(1.0).otherwise("score").alias("score"),
        "reference_score",
        "shift",
        why.alias("error"),
    )


def weak(scores: pl.DataFrame, below: float) -> pl.DataFrame:
    """Which rows every student failed.

    Args:
        scores: One line per row and student: row_id, student, answer, score and reference_score (1 to 5, or null where there is none), error (why).
        below: A score under this is a failure.

    Returns:
        One line per row: row_id, student_scores (list of {student, answer, score, reference_score, error}), weak (null if a score is missing).
    """
    return (
        scores.sort("row_id", "student")
        .group_by("row_id", maintain_order=True)
        .agg(
            pl.struct("student", "answer", "score", "reference_score", "error").alias("student_scores"),
            pl.when(pl.col("score").is_not_null().all()).then((pl.col("score") < below).all()).alias("weak"),
        )
    )


def weakest(rows: pl.DataFrame) -> pl.DataFrame:
    """Of every weak row the answer with the lowest score, beside the reference; none of rows on which no student wrote anything.

    Args:
        rows: row_id, language, messages, student_scores, weak.

    Returns:
        row_id, language, request, reference, answer.
    """
    students = rows.filter("weak").select(
        "row_id", "language", "student_scores", request=conversation.instruction(), reference=conversation.answer()
    )
    given = students.explode("student_scores").unnest("student_scores").filter(pl.col("answer") != "")
    lowest = given.sort("row_id", "score", "student").unique("row_id", keep="first", maintain_order=True)
    return lowest.select("row_id", "language", "request", "reference", "answer")


def in_words(said: pl.DataFrame) -> pl.DataFrame:
    """What was said about weak answers, cleaned up: the first line without labels and marks, two sentences of it at most.

    Args:
        said: row_id, request, reference, answer, text (what was said of it, or null), finish_reason.

    Returns:
        row_id, deficiency: null where nothing was said, it was cut before its first sentence ended, or it repeats what it is about.
    """
    text = pl.col("text").fill_null("").str.replace_all("**", "", literal=True).str.strip_chars()
    text = text.str.replace(_LABEL, "").str.split("\n").list.first()
    text = text.str.replace(_BULLET, "").str.replace(_LABEL, "").str.strip_chars(' \t"“”「」*').alias("text")
    sentences = pl.col("text").str.extract(_SENTENCES, 1).str.strip_chars()
    whole = pl.when(pl.col("finish_reason") != "length").then("text")
    found = said.with_columns(text).with_columns(pl.coalesce(sentences, whole).alias("text"))
    words = {name: _plain(name) for name in ("text", "request", "reference", "answer")}
    repeats = pl.any_horizontal(
        words[name].str.contains(words["text"], literal=True) for name in ("request", "reference", "answer")
    )
    usable = pl.col("text").str.contains(r"\p{L}") & ~pl.col("text").str.contains(_NOTHING) & ~repeats
    return found.select("row_id", pl.when(usable).then("text").alias("deficiency"))


def _plain(name: str) -> pl.Expr:
    """A text without case, spaces and its last point."""
    return pl.col(name).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars(" .。!！?？")


def held_out(diagnosed: pl.DataFrame, share: float) -> pl.DataFrame:
    """The weak rows that a taught student is not shown, drawn by row id."""
    weak = diagnosed.filter("weak")
    return weak.filter(draw("held_out", weak["row_id"]) < share)


def exam(before: pl.DataFrame, after: pl.DataFrame, student: str) -> pl.DataFrame:
    """How far a student was behind the reference before and after it was taught: `EXAM`, without rows of which either is unknown.

    Args:
        before: Rows that were held out: row_id, answer_score, student_scores.
        after: What `examined` says of the taught student on them.
        student: Its name.
    """
    own = pl.element().filter(pl.element().struct.field("student") == student).struct.field
    known = before.select(
        "row_id", "answer_score", *(pl.col("student_scores").list.eval(own(n)).list.first().alias(n) for n in _SCORES)
    )
    both = known.join(after.select("row_id", *_SCORES), on="row_id", suffix="_after")
    gaps = (
        (pl.coalesce(f"reference_score{end}", "answer_score") - pl.col(f"score{end}")).alias(name)
        for end, name in (("", "before"), ("_after", "after"))
    )
    return both.select("row_id", *gaps).drop_nulls().cast(EXAM)


_SCORES = ("score", "reference_score")


def by_ability(
    diagnosed: pl.DataFrame, exams: pl.DataFrame, students: tuple[str, ...], *, number: int, last: bool, min_gain: float
) -> pl.DataFrame:
    """A round by ability, a row counting in each of its own and in `all`.

    Args:
        diagnosed: Its rows: row_id, cate_ability, answer_score, student_scores, weak, deficiency.
        exams: `EXAM`; empty where no student was taught.
        students: Their names.
        number: Its number.
        last: Whether no round follows.
        min_gain: The loop stops if the gap closed by less, over all rows that were held out.

    Returns:
        `ABILITIES`: `all` first, which is there if nothing else is, then the abilities, those of most rows first.
    """
    scores = pl.col("student_scores")
    reference = scores.list.eval(pl.element().struct.field("reference_score")).list.mean()
    known = pl.coalesce(
        reference, "answer_score"
    )  # where no student wrote anything, the judge has not seen it in a pair
    mean = scores.list.eval(pl.element().struct.field("score")).list.mean()
    named = pl.col("cate_ability").list.unique(maintain_order=True)
    rows = diagnosed.join(exams, on="row_id", how="left", maintain_order="left").select(
        pl.when(named.list.len() > 0).then(named).otherwise(pl.lit([UNLABELLED])).alias("ability"),
        "answer_score", "weak", "deficiency", "before", "after",
        *(_score_of(student).alias(f"student {place}") for place, student in enumerate(students)),
        known.alias("reference"),
        (known - mean).alias("difference"),
    )  # fmt: skip
    each = [
        pl.struct(pl.lit(name).alias("student"), pl.col(f"student {n}").mean().alias("score"))
        for n, name in enumerate(students)
    ]
    lines = [
        pl.len().alias("rows"),
        pl.col("answer_score").mean(),
        pl.col("reference").mean().alias("reference_score"),
        pl.concat_list(each).alias("student_scores"),
        pl.col("difference").mean().alias("gap"),
        pl.col("weak").sum().alias("weak_rows"),
        pl.col("weak").mean().alias("weak_share"),
        pl.col("deficiency").count().alias("deficiencies"),
        pl.col("before").count().alias("held_out"),
        pl.col("before").mean().alias("gap_before"),
        pl.col("after").mean().alias("gap_after"),
    ]
    whole = rows.select(pl.lit(ALL).alias("ability"), *lines)
    parts = (
        rows.explode("ability")
        .group_by("ability", maintain_order=True)
        .agg(*lines)
        .sort(pl.col("rows") * -1, "ability")
    )
    gain = pl.col("gap_before") - pl.col("gap_after")
    stop = (pl.col("ability") == ALL) & (gain < min_gain).fill_null(False)
    table = pl.concat([whole, parts], how="vertical_relaxed").with_columns(gain.alias("gain"), stop.alias("stop"))
    seeds = pl.when(pl.lit(last) | pl.col("stop").any()).then(0).otherwise("weak_rows")
    described = table.with_columns(
        pl.lit(number).alias("round"), seeds.alias("seeds"), pl.col("weak_rows").alias("weak")
    )
    return described.select(pl.col(name).cast(kind) for name, kind in ABILITIES.items())


def _score_of(student: str) -> pl.Expr:
    own = pl.element().filter(pl.element().struct.field("student") == student)
    return pl.col("student_scores").list.eval(own.struct.field("score")).list.first()


def wide(table: pl.DataFrame) -> pl.DataFrame:
    """`ABILITIES` with a column per student, `student NAME`, in the place of their list."""
    names = table["student_scores"].explode().struct.field("student").drop_nulls().unique(maintain_order=True)
    place = table.columns.index("student_scores")
    return table.select(
        *table.columns[:place],
        *(_score_of(name).alias(f"student {name}") for name in names),
        *table.columns[place + 1 :],
    )
