from pathlib import Path

import polars as pl
import pytest

from infinity_assets.synthesis.strategies.syllabus import SESSIONS, Syllabus
from infinity_assets_tests.synthesis.strategies.scripted import Models, Script, said, seeds

SCRIPT: Script = {
    "syllabus": said(
        sessions=[
            {"session": f"session {n}", "concepts": [f"{n}a", f"{n}b", f"{n}c"][: 2 + n % 2]} for n in range(SESSIONS)
        ]
    ),
    "request_from_syllabus": "Which of two offers binds the seller?",
}
LAW = {"cate_ability": ["law"], "ability": ["contracts", "torts"]}


def test_from_a_label_to_an_exercise(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT)
    (line,) = Syllabus().write(seeds({**LAW, "ability": [None, "contracts"]}), models.asking, 1).to_dicts()
    assert (line["text"], line["operation"], line["error"]) == (SCRIPT["request_from_syllabus"], "syllabus", None)
    assert models.told("syllabus") == ["Field: law\nSubject: contracts"]
    (told,) = models.told("request_from_syllabus")
    assert told.startswith("Field: law\nSubject: contracts\nSessions: session ")


def test_two_different_concepts_of_one_session_or_of_two(tmp_path: Path) -> None:
    models = Models(tmp_path, SCRIPT)
    some = seeds(*(LAW for _ in range(400)))
    made = Syllabus().write(some, models.asking, 1)
    assert set(made["row_id"]) == set(some["row_id"])
    told = pl.Series(models.told("request_from_syllabus"))
    pairs = set()
    for sessions, concepts in told.str.extract_groups(r"Sessions: (.*)\nConcepts: (.*)$").struct.unnest().iter_rows():
        named, (one, other) = [title.removeprefix("session ") for title in sessions.split("; ")], concepts.split("; ")
        assert one != other
        assert [one[0], other[0]] == (named if len(named) == 2 else named * 2)
        pairs.add((one, other))
    assert {one[1] == other[1] for one, other in pairs if one[0] != other[0]} == {True, False}
    apart = told.str.contains("Sessions: .*;").sum()
    assert 160 < apart < 240
    assert (
        {one for one, _ in pairs}
        == {other for _, other in pairs}
        == {"0a", "0b", "1a", "1b", "1c", "2a", "2b", "3a", "3b", "3c"}
    )
    assert set(pl.Series(models.told("syllabus")).str.extract("Subject: (.*)")) == {"contracts", "torts"}


def test_the_draw_is_by_row_id_and_round(tmp_path: Path) -> None:
    def told(place: str, rows: pl.DataFrame, number: int) -> list[str]:
        models = Models(tmp_path / place, SCRIPT)
        Syllabus().write(rows, models.asking, number)
        return sorted(models.told("request_from_syllabus"))

    some = seeds(*(LAW for _ in range(40)))
    assert told("forward", some, 1) == told("backward", some.reverse(), 1)
    assert told("first", some, 1) != told("second", some, 2)


@pytest.mark.parametrize(
    ("changed", "error"), [({"syllabus": "sessions"}, "invalid_json"), ({"request_from_syllabus": ""}, "empty")]
)
def test_each_way_to_fail(tmp_path: Path, changed: Script, error: str) -> None:
    (line,) = Syllabus().write(seeds(LAW), Models(tmp_path, {**SCRIPT, **changed}).asking, 1).to_dicts()
    assert (line["text"] or None, line["operation"], line["error"]) == (None, "syllabus", error)


@pytest.mark.parametrize("concepts", [["gluten", "Gluten "], ["gluten", " "]])
def test_one_concept_is_not_enough(tmp_path: Path, concepts: list[str]) -> None:
    models = Models(
        tmp_path, {**SCRIPT, "syllabus": said(sessions=[{"session": "flour", "concepts": concepts}] * SESSIONS)}
    )
    made = Syllabus().write(seeds(*(LAW for _ in range(20))), models.asking, 1)
    wrong = made.filter(pl.col("error") == "one_concept")
    assert wrong.height >= 5
    assert wrong["text"].null_count() == wrong.height
    assert len(models.told("request_from_syllabus")) == 20 - wrong.height


def test_only_seeds_with_a_label_are_taken() -> None:
    some = seeds(LAW, {"ability": None}, {"ability": []}, {"ability": [None]}, {**LAW, "kind": "text"})
    assert some.select(Syllabus().takes().alias("taken"))["taken"].to_list() == [True, False, False, False, True]
