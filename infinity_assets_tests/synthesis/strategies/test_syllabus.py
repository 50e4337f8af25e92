from pathlib import Path

import polars as pl
import pytest

from infinity_assets.synthesis.strategies.syllabus import SESSIONS, Syllabus
from infinity_assets_tests.synthesis.strategies.scripted import Models, Script, seeds, to_json

SCRIPT: Script = {
    "syllabus": to_json(
        sessions=[
            {"session": f"session {n}", "concepts": [f"{n}a", f"{n}b", f"{n}c"][: 2 + n % 2]} for n in range(SESSIONS)
        ]
    ),
    "request_from_syllabus": "Which of two offers binds the seller?",
}
LAW = {"cate_ability": ["law"], "ability": ["contracts", "torts"]}


def test_a_label_becomes_an_exercise(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT)
    (line,) = Syllabus().write(seeds({**LAW, "ability": [None, "contracts"]}), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"], line["error"]) == (SCRIPT["request_from_syllabus"], "syllabus", None)
    assert models.last_turns("syllabus") == ["Field: law\nSubject: contracts"]
    (turn,) = models.last_turns("request_from_syllabus")
    assert turn.startswith("Field: law\nSubject: contracts\nSessions: session ")


def test_an_exercise_uses_two_concepts_of_one_or_two_sessions(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT)
    some = seeds(*(LAW for _ in range(400)))
    made = Syllabus().write(some, models.asking, 1)
    assert set(made["row_id"]) == set(some["row_id"])
    turns = pl.Series(models.last_turns("request_from_syllabus"))
    pairs = set()
    for sessions, concepts in turns.str.extract_groups(r"Sessions: (.*)\nConcepts: (.*)$").struct.unnest().iter_rows():
        named, (one, other) = [title.removeprefix("session ") for title in sessions.split("; ")], concepts.split("; ")
        assert one != other
        assert [one[0], other[0]] == (named if len(named) == 2 else named * 2)
        pairs.add((one, other))
    assert {one[1] == other[1] for one, other in pairs if one[0] != other[0]} == {True, False}
    two_sessions = turns.str.contains("Sessions: .*;").sum()
    assert 160 < two_sessions < 240
    assert (
        {one for one, _ in pairs}
        == {other for _, other in pairs}
        == {"0a", "0b", "1a", "1b", "1c", "2a", "2b", "3a", "3b", "3c"}
    )
    assert set(pl.Series(models.last_turns("syllabus")).str.extract("Subject: (.*)")) == {"contracts", "torts"}


def test_draws_depend_on_row_id_and_round(tmp_path: Path) -> None:
    def exercises(place: str, rows: pl.DataFrame, number: int) -> list[str]:
        models = Models(tmp_path / place, SCRIPT)
        Syllabus().write(rows, models.asking, number)
        return sorted(models.last_turns("request_from_syllabus"))

    some = seeds(*(LAW for _ in range(40)))
    assert exercises("forward", some, 1) == exercises("backward", some.reverse(), 1)
    assert exercises("first", some, 1) != exercises("second", some, 2)


@pytest.mark.parametrize(
    ("changed", "error"), [({"syllabus": "sessions"}, "invalid_json"), ({"request_from_syllabus": ""}, "empty")]
)
def test_a_failed_step_leaves_its_error(tmp_path: Path, changed: Script, error: str) -> None:
    (line,) = Syllabus().write(seeds(LAW), Models(tmp_path, {**SCRIPT, **changed}).asking, 1).to_dicts()
    assert (line["text"] or None, line["operation"], line["error"]) == (None, "syllabus", error)


@pytest.mark.parametrize("concepts", [["gluten", "Gluten "], ["gluten", " "]])
def test_two_equal_concepts_or_an_empty_one_are_an_error(tmp_path: Path, concepts: list[str]) -> None:
    models = Models(
        tmp_path, {**SCRIPT, "syllabus": to_json(sessions=[{"session": "flour", "concepts": concepts}] * SESSIONS)}
    )
    made = Syllabus().write(seeds(*(LAW for _ in range(20))), models.asking, 1)
    wrong = made.filter(pl.col("error") == "one_concept")
    assert wrong.height >= 5
    assert wrong["text"].null_count() == wrong.height
    assert len(models.last_turns("request_from_syllabus")) == 20 - wrong.height
