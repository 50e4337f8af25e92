"""Tests of numbers of right options that count from 1."""

import json
from pathlib import Path

import pytest

from infinity_assets.reading.preview import preview
from infinity_assets.reading.sources import Source
from infinity_assets_tests.reading.in_memory import read

OPTIONS = ["cod", "oak", "elm"]


def answers(folder: Path, key: str, numbers: list[int]) -> list[str]:
    records = [
        {"question": f"Number {number} of {place}?", "options": OPTIONS, key: number}
        for place, number in enumerate(numbers)
    ]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, records)))
    rows = read(Source(name="s", path=folder)).rows["messages"].to_list()
    shown = preview(Source(name="s", path=folder))
    assert shown.rows == len(rows)
    return [row[-1]["content"] for row in rows]


@pytest.mark.parametrize("key", ["answer", "label", "correct_option"])
def test_a_number_equal_to_that_of_the_options_shows_that_all_count_from_one(tmp_path: Path, key: str) -> None:
    assert answers(tmp_path, key, [1, 2, 3, 1]) == ["A. cod", "B. oak", "C. elm", "A. cod"]


def test_a_zero_shows_that_all_count_from_zero(tmp_path: Path) -> None:
    assert answers(tmp_path, "answer", [1, 2, 0]) == ["B. oak", "C. elm", "A. cod"]


def test_contradicting_numbers_count_from_zero_and_the_impossible_one_is_dropped(tmp_path: Path) -> None:
    assert answers(tmp_path, "answer", [0, 3, 1]) == ["A. cod", "B. oak"]


def test_a_column_of_numbers_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    records = [
        {"question": "Q1?", "options": OPTIONS, "answer": "B", "score": 3},
        {"question": "Q2?", "options": OPTIONS, "answer": "A", "score": 3},
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, records)))
    kept = read(Source(name="s", path=tmp_path)).annotations.filter(name="score")
    assert kept["value"].to_list() == ["3", "3"]
