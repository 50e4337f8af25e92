"""Tests that messages which are records of their own become conversations, and that none is lost."""

import json
import random
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.reading.sources import Source
from infinity_assets_tests.reading.in_memory import read

TREE = [
    {"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"},
    {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "a", "rank": 1},
    {"message_id": "3", "parent_id": "1", "role": "assistant", "text": "b", "rank": 0},
    {"message_id": "4", "parent_id": "3", "role": "prompter", "text": "r"},
    {"message_id": "5", "parent_id": "4", "role": "assistant", "text": "c", "review_result": False, "rank": 0},
    {"message_id": "6", "parent_id": "4", "role": "assistant", "text": "d", "review_result": True},
]
TABLE = [
    {"conversation_id": "x", "turn": 2, "speaker": "Jo", "text": "r"},
    {"conversation_id": "y", "turn": 0, "speaker": "Al", "text": "s"},
    {"conversation_id": "x", "turn": 0, "speaker": "Jo", "text": "q"},
    {"conversation_id": "x", "turn": 10, "speaker": "Al", "text": "b"},
    {"conversation_id": "x", "turn": 1, "speaker": "Al", "text": "a"},
    {"conversation_id": "y", "turn": 1, "speaker": "Jo", "text": "c"},
]


def rows(folder: Path, records: list[dict]) -> list[str]:
    """Return the texts of the rows that a file of these records gives; every record must be accounted for."""
    (folder / "d.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    found = read(Source(name="s", path=folder))
    (file,) = found.files.rows(named=True)
    assert (
        file["records"] == file["rows"] + file["dropped"] == found.rows.height + found.decisions["row_id"].null_count()
    )
    return [" ".join(message["content"] for message in row) for row in found.rows["messages"]]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_path_of_a_tree_is_a_row_wherever_its_messages_are(tmp_path: Path, seed: int) -> None:
    assert rows(tmp_path, random.Random(seed).sample(TREE, len(TREE))) == ["q b r d"]


def test_utterances_are_put_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert rows(tmp_path, TABLE) == ["q a r b", "s c"]


def test_tables_are_joined_over_batches(tmp_path: Path) -> None:
    table = pl.DataFrame(
        [
            {
                "conv_id": str(n % 4000),
                "turn_id": n // 4000,
                "role": ("user", "assistant")[n // 4000],
                "content": f"t{n}",
            }
            for n in range(8000)
        ]
    )
    table.write_parquet(tmp_path / "d.parquet")
    assert read(Source(name="s", path=tmp_path)).rows.height == 4000


def test_messages_in_a_circle_are_dropped_with_a_reason(tmp_path: Path) -> None:
    circle = [{**TREE[0], "parent_id": "2"}, TREE[1]]
    assert rows(tmp_path, circle) == []
    dropped = read(Source(name="s", path=tmp_path)).decisions
    assert dropped["reason"].to_list() == ["no_first_message"] * 2


@pytest.mark.parametrize(
    "change", [{"message_id": "1"}, {"parent_id": "1", "message_id": "1"}, {"message_id": None}], ids=str
)
def test_ids_that_occur_twice_or_not_at_all_end_nowhere_else(tmp_path: Path, change: dict) -> None:
    rows(tmp_path, [*TREE, {**TREE[1], **change}])


def test_a_line_that_cannot_be_parsed_is_dropped(tmp_path: Path) -> None:
    rows(tmp_path, TREE)
    with (tmp_path / "d.jsonl").open("a") as file:
        file.write('{"message_id": "7", "parent_id\n')
    found = read(Source(name="s", path=tmp_path))
    assert found.rows.height == 1
    assert found.decisions.filter(verdict="dropped").height == 1


def test_records_that_only_have_ids_are_read_one_by_one(tmp_path: Path) -> None:
    records = [{"conversation_id": "x", "question": f"q{n}", "answer": f"a{n}"} for n in range(3)]
    assert rows(tmp_path, records) == ["q0 a0", "q1 a1", "q2 a2"]
