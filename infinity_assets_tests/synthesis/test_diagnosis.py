"""Grades of pairs, weak rows, deficiencies and the table of abilities, tested on frames without a model."""

import re
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets import prompts
from infinity_assets.defs.chat.rounds import STUDENT_SCORE
from infinity_assets.synthesis.diagnosis import (
    ABILITIES,
    ALL,
    DEFICIENCY,
    EXAM,
    UNLABELLED,
    average_grades,
    build_questions,
    clean_deficiencies,
    compare_exams,
    draw_held_out,
    mark_weak,
    select_weakest_answers,
    spread_students,
    summarize_abilities,
)
from infinity_assets_tests.frames import conversations
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
GRADE = st.none() | st.floats(1, 5)
SCORES = st.dictionaries(st.sampled_from("abcd"), st.lists(GRADE, min_size=1, max_size=3), max_size=4)
SCHEMA = {
    "row_id": pl.String, "student": pl.String, "answer": pl.String, "score": pl.Float64, "reference_score": pl.Float64,
    "error": pl.String,
}  # fmt: skip
PAIRS = pl.DataFrame(
    [("b", "zh", "r b", "ref b", "ans b"), ("a", "en", "r a", "ref a", "ans a")],
    schema=["row_id", "language", "request", "reference", "answer"], orient="row",
)  # fmt: skip


@pytest.mark.parametrize("swap", [True, False])
def test_both_texts_are_graded_in_each_order(swap: bool) -> None:
    asked = build_questions(PAIRS, swap)
    assert asked["row_id"].to_list() == ["a"] * (4 if swap else 2) + ["b"] * (4 if swap else 2)
    graded = [line["one"] if line["which"] == "A" else line["other"] for line in asked.iter_rows(named=True)]
    for row in "ab":
        mine = [text for text in graded if text.endswith(row)]
        assert mine.count(f"ans {row}") == mine.count(f"ref {row}") == (2 if swap else 1)
    shown = asked.select("row_id", "one", "other").rows()
    assert all(one == other for one, other in zip(shown[::2], shown[1::2], strict=True)), (
        "adjacent questions only differ in their last word"
    )


@FEW
@given(grades=st.lists(GRADE, min_size=4, max_size=4), swap=st.booleans(), data=st.data())
def test_grades_are_averaged_and_a_missing_grade_gives_null(grades: list, swap: bool, data: st.DataObject) -> None:
    asked = build_questions(PAIRS.head(1), swap)
    given = [
        (line["index"], line["one"] if line["which"] == "A" else line["other"]) for line in asked.iter_rows(named=True)
    ]
    lines = [("b", index, grades[index], None if grades[index] is not None else f"why {index}") for index, _ in given]
    schema = {"row_id": pl.String, "index": pl.Int64, "score": pl.Float64, "error": pl.String}
    (found,) = average_grades(pl.DataFrame(data.draw(st.permutations(lines)), schema=schema, orient="row")).to_dicts()
    for column, text in (("score", "ans b"), ("reference_score", "ref b")):
        of_it = [grades[index] for index, graded in given if graded == text]
        assert found[column] == (None if None in of_it else pytest.approx(sum(of_it) / len(of_it)))
    assert (found["error"] is None) == (found["score"] is not None and found["reference_score"] is not None)
    if found["score"] is None:
        assert found["error"] in [f"why {index}" for index, graded in given if graded == "ans b"]
    if swap and None not in grades:
        assert found["shift"] == pytest.approx((abs(grades[0] - grades[3]) + abs(grades[1] - grades[2])) / 2)
    elif not swap:
        assert found["shift"] is None


@FEW
@given(scores=SCORES, below=st.floats(1, 5), data=st.data())
def test_a_row_is_weak_if_every_student_failed_and_null_if_a_score_is_missing(
    scores: dict, below: float, data: st.DataObject
) -> None:
    lines = [
        (row, f"student {n}", "said", score, 4.0, None if score else "no_logprobs")
        for row, given in scores.items()
        for n, score in enumerate(given)
    ]
    found = mark_weak(pl.DataFrame(data.draw(st.permutations(lines)), schema=SCHEMA, orient="row"), below)
    assert found["row_id"].to_list() == sorted(scores)
    for row, students, is_weak in found.iter_rows():
        assert [student["score"] for student in students] == scores[row]
        assert all((student["score"] is None) == (student["error"] is not None) for student in students)
        assert is_weak is (None if None in scores[row] else all(score < below for score in scores[row]))


def diagnosed(*rows: dict) -> pl.DataFrame:
    """Return rows of `diagnosed`, numbered from 0. `students` holds (score, reference score, answer) per student."""
    lines = [
        {
            "row_id": f"r{number}",
            "language": "en",
            "cate_ability": row.get("cate_ability"),
            "answer_score": row.get("answer_score"),
            "student_scores": [
                {"student": f"s{place}", "answer": answer, "score": score, "reference_score": reference, "error": None}
                for place, (score, reference, answer) in enumerate(row["students"])
            ],
            "weak": row.get("weak"),
            "deficiency": row.get("deficiency"),
        }
        for number, row in enumerate(rows)
    ]
    schema = {
        "row_id": pl.String, "language": pl.String, "cate_ability": pl.List(pl.String), "answer_score": pl.Float64,
        "student_scores": pl.List(STUDENT_SCORE), "weak": pl.Boolean, "deficiency": pl.String,
    }  # fmt: skip
    turns = [[("user", f"q{n}"), ("assistant", f"reference {n}")] for n in range(len(rows))]
    return pl.DataFrame(lines, schema=schema).with_columns(
        conversations(*turns) if turns else pl.lit(None).alias("messages")
    )


def test_the_weakest_answer_with_a_text_is_selected() -> None:
    rows = diagnosed(
        {"students": [(2.0, 4.0, "two"), (1.5, 4.0, "lower")], "weak": True},
        {"students": [(2.0, 4.0, "something"), (1.0, None, "")], "weak": True},
        {"students": [(1.0, None, ""), (1.0, None, "")], "weak": True},
        {"students": [(1.0, 4.0, "bad"), (4.0, 4.0, "good")], "weak": False},
        {"students": [(1.0, 4.0, "bad"), (None, 4.0, "unknown")], "weak": None},
    )
    assert select_weakest_answers(rows).select("row_id", "request", "reference", "answer").rows() == [
        ("r0", "q0", "reference 0", "lower"),
        ("r1", "q1", "reference 1", "something"),
    ]


DESCRIPTIONS = yaml.safe_load((Path(__file__).parent / "cases" / "deficiencies.yaml").read_text("utf-8"))
"""Descriptions by a model: text, finish reason, and what is kept of the text."""


@pytest.mark.parametrize(("text", "finish", "kept"), DESCRIPTIONS)
def test_a_description_is_cleaned(text: str | None, finish: str | None, kept: str | None) -> None:
    described = pl.DataFrame(
        {
            "row_id": "r", "request": "Where is it?", "reference": "Well, the capital of Norway is Oslo.",
            "answer": "It is Bergen, I think.",
            "text": text, "finish_reason": finish,
        },
        schema_overrides={"text": pl.String, "finish_reason": pl.String},
    )  # fmt: skip
    if text == "It is Bergen.":
        described = described.with_columns(answer=pl.lit("It is Bergen"))
    assert clean_deficiencies(described).rows() == [("r", kept)]


@pytest.mark.parametrize("language", prompts.LANGUAGES)
def test_the_examples_of_the_prompt_are_unchanged(language: prompts.Language) -> None:
    prompt = prompts.load(DEFICIENCY, language)
    shown = [re.split("\n.*?[:：]", turn.fill({})) for turn in prompt.turns if turn.role == "user"][:-1]
    assert len(shown) == len(prompt.examples) >= 2
    lines = [("r", *texts[:3], text, "stop") for texts, text in zip(shown, prompt.examples, strict=True)]
    columns = ["row_id", "request", "reference", "answer", "text", "finish_reason"]
    described = pl.DataFrame(lines, schema=columns, orient="row")
    assert clean_deficiencies(described)["deficiency"].to_list() == list(prompt.examples)


@FEW
@given(text=st.text(st.sampled_from('ab. !。\n-*:"')), finish=st.sampled_from(["stop", "length"]))
def test_a_deficiency_is_at_most_two_sentences_of_one_line_of_the_description(text: str, finish: str) -> None:
    described = pl.DataFrame(
        {"row_id": "r", "request": "?", "reference": "x", "answer": "y", "text": text, "finish_reason": finish}
    )
    (kept,) = clean_deficiencies(described)["deficiency"]
    if kept is not None:
        assert kept
        assert kept in text.replace("**", "")
        assert "\n" not in kept
        assert len(re.findall(r"[.!]+\s+|。", kept)) <= 2
        assert finish == "stop" or kept.rstrip('"')[-1] in ".!。"


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "cate_ability": st.none() | st.lists(st.sampled_from(["law", "math", "other"]), max_size=3),
            "answer_score": GRADE,
            "students": st.lists(st.tuples(GRADE, GRADE, st.just("said")), min_size=2, max_size=2),
            "weak": st.sampled_from([True, False, None]),
            "deficiency": st.sampled_from([None, "form"]),
        }
    ),
    max_size=6,
)


@FEW
@given(rows=ROWS, last=st.booleans(), min_gain=st.floats(-3, 3), data=st.data())
def test_a_row_counts_in_each_of_its_abilities_and_once_in_all(
    rows: list[dict], last: bool, min_gain: float, data: st.DataObject
) -> None:
    frame = diagnosed(*rows)
    held = [f"r{n}" for n, row in enumerate(rows) if row["weak"] and data.draw(st.booleans())]
    exams = pl.DataFrame([(row, 2.0, data.draw(st.floats(0, 4))) for row in held], schema=EXAM, orient="row")
    table = summarize_abilities(frame, exams, ("s0", "s1"), number=2, last=last, min_gain=min_gain)
    assert table.schema == ABILITIES
    assert table["ability"][0] == ALL
    assert table["ability"].is_unique().all()
    by_name: dict[str, list[dict]] = {ALL: rows}
    for row in rows:
        for ability in dict.fromkeys(row["cate_ability"] or [UNLABELLED]):
            by_name.setdefault(ability, []).append(row)
    stops = held != [] and 2.0 - exams["after"].mean() < min_gain  # pyrefly: ignore[unsupported-operation]
    assert set(table["ability"]) == set(by_name)
    for line in table.iter_rows(named=True):
        mine = by_name[line["ability"]]
        assert line["rows"] == len(mine)
        assert line["weak"] == sum(row["weak"] is True for row in mine)
        assert line["deficiencies"] == sum(row["deficiency"] is not None for row in mine)
        assert line["seeds"] == (0 if last or stops else line["weak"])
        assert line["stop"] is (stops and line["ability"] == ALL)
        for place, mean in enumerate(line["student_scores"]):
            known = [row["students"][place][0] for row in mine if row["students"][place][0] is not None]
            assert mean == {"student": f"s{place}", "score": pytest.approx(sum(known) / len(known)) if known else None}
        if line["gap_after"] is not None:
            assert line["gain"] == pytest.approx(line["gap_before"] - line["gap_after"])


def test_an_empty_table_has_the_line_of_all_rows() -> None:
    table = summarize_abilities(diagnosed(), pl.DataFrame(schema=EXAM), ("s0",), number=1, last=False, min_gain=9.0)
    assert table.select("round", "ability", "rows", "weak", "gap", "seeds", "stop").rows() == [
        (1, ALL, 0, 0, None, 0, False)
    ]


def test_the_gap_uses_the_reference_score_of_the_pair_or_else_the_answer_score() -> None:
    rows = diagnosed(
        {"students": [(2.0, 5.0, "a"), (3.0, 4.0, "b")], "answer_score": 1.0, "cate_ability": ["law"]},
        {"students": [(1.0, None, ""), (1.0, None, "")], "answer_score": 3.0, "cate_ability": ["math"]},
    )
    table = summarize_abilities(rows, pl.DataFrame(schema=EXAM), ("s0", "s1"), number=1, last=True, min_gain=0.0)
    gaps = dict(table.select("ability", "gap").iter_rows())
    assert gaps == {ALL: pytest.approx(2.0), "law": pytest.approx(2.0), "math": pytest.approx(2.0)}
    assert spread_students(table).columns[5:7] == ["student s0", "student s1"]
    assert spread_students(table)["student s0"].to_list() == [1.5, 2.0, 1.0]


@FEW
@given(before=st.lists(st.tuples(GRADE, GRADE, GRADE), max_size=5), data=st.data())
def test_an_exam_compares_a_student_with_itself_on_the_same_rows(before: list, data: st.DataObject) -> None:
    rows = diagnosed(
        *({"students": [(3.0, 3.0, "x"), (score, ref, "y")], "answer_score": alone} for score, ref, alone in before)
    )
    after = [(f"r{n}", data.draw(GRADE), data.draw(GRADE)) for n in range(len(before))]
    schema = {"row_id": pl.String, "score": pl.Float64, "reference_score": pl.Float64}
    found = {
        row: (one, other)
        for row, one, other in compare_exams(rows, pl.DataFrame(after, schema=schema, orient="row"), "s1").iter_rows()
    }
    for (row, score, reference), (own, beside, alone) in zip(after, before, strict=True):
        one, other = beside if beside is not None else alone, reference if reference is not None else alone
        if one is None or other is None or own is None or score is None:
            assert row not in found
        else:
            assert found[row] == (pytest.approx(one - own), pytest.approx(other - score))


def test_held_out_rows_depend_on_the_row_alone() -> None:
    rows = pl.DataFrame({"row_id": [f"{n:032x}" for n in range(600)], "weak": [True, False, None] * 200})
    held = draw_held_out(rows, 0.3)
    assert held["weak"].all()
    assert 35 < held.height < 85
    assert set(draw_held_out(rows.sample(fraction=0.5, seed=1, shuffle=True), 0.3)["row_id"]) <= set(held["row_id"])
    assert set(held["row_id"]) <= set(draw_held_out(rows, 0.5)["row_id"])
