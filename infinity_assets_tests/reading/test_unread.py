"""The account of keys names every value that reached no row, without help from the layouts."""

import json
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.reading.unread import find_unread
from infinity_assets.rows import schema
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make

PROSE = "The harbour of the town was built in four years by two hundred men from the valley."
OTHER = "A long remark of somebody else, which says why the answer is right in many words."
ASKED = {"question": "Who built the harbour of the town, and how long did it take them?", "answer": "Two hundred men."}


def account(folder: Path, *records: object, yaml: str = "") -> pl.DataFrame:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return read(make(folder, {"a.jsonl": lines, **({"source.yaml": yaml} if yaml else {})})).keys


def unread(folder: Path, *records: object, yaml: str = "") -> set[str]:
    return set(find_unread(account(folder, *records, yaml=yaml).lazy()).collect()["path"])


CONVERSATION = [{"from": "human", "value": ASKED["question"]}, {"from": "gpt", "value": "Two hundred men did."}]

UNREAD = {
    "nothing": (ASKED, set()),
    "a remark": (ASKED | {"remark": PROSE}, {"remark"}),
    "a truth value": (ASKED | {"is_edited": True}, {"is_edited"}),
    "a label is an annotation": (ASKED | {"score": 3.5, "category": "history"}, set()),
    "reasoning under a name that nobody knows": (ASKED | {"Musings": OTHER}, {"Musings"}),
    "a number that happens to occur in the answer": ({"question": "q?", "answer": "17 men", "year": 17}, {"year"}),
    "a key that only decides": ({"question": "q?", "choices": ["yes", "no"], "answer": 1}, set()),
    "missing values": (ASKED | {"a1": None, "b1": "", "c1": [], "d1": {}}, set()),
    "inside lists": ({"conversations": CONVERSATION, "notes": [{"by": {"text": OTHER}}]}, {"notes[].by.text"}),
    "roles decide": ({"conversations": CONVERSATION}, set()),
    "turns as JSON": ({"conversations": json.dumps(CONVERSATION)}, set()),
    "numbered keys share a path": (
        ASKED | {"hints": {"hint_1": OTHER, "hint_2": PROSE}}, {"hints.hint_*"},
    ),
    "a rejected answer": (
        {"prompt": ASKED["question"], "chosen": PROSE, "rejected": OTHER, "rejected_reason": OTHER[5:]}, set(),
    ),
    "a dialogue in one text": (
        {"text": f"Human: {ASKED['question']}\n\nAssistant: {PROSE}"}, set(),
    ),
    "a record that is a list": (CONVERSATION, set()),
    "a record that is a text": (PROSE, set()),
}  # fmt: skip


@pytest.mark.parametrize(("record", "keys"), UNREAD.values(), ids=UNREAD)
def test_keys_whose_values_reach_no_row_are_unread(tmp_path: Path, record: object, keys: set[str]) -> None:
    assert unread(tmp_path, record) == keys


def test_texts_are_counted_exactly_and_only_some_records_may_have_them(tmp_path: Path) -> None:
    records = [ASKED | ({"remark": PROSE} if n % 10 == 0 else {}) for n in range(200)]
    keys = account(tmp_path, *records)
    assert keys.schema == schema.KEYS
    (line,) = keys.filter(pl.col("path") == "remark").iter_rows(named=True)
    assert line == {
        "source": tmp_path.name, "layout": "question_answer", "path": "remark", "records": 20, "read": 0,
        "chars": 20 * len(PROSE), "chars_read": 0, "running_text": True, "estimated": False, "example": PROSE,
    }  # fmt: skip
    answers = keys.filter(pl.col("path") == "answer").select("records", "read", "chars", "chars_read", "example")
    assert answers.rows() == [(200, 200, 200 * len(ASKED["answer"]), 200 * len(ASKED["answer"]), None)]


def test_a_text_that_is_read_in_some_records_only_is_named(tmp_path: Path) -> None:
    records = [{"messages": [{"role": "user", "content": "q"}], "prompt": PROSE if n % 2 else "q"} for n in range(60)]
    keys = find_unread(account(tmp_path, *records).lazy()).collect()
    assert keys.select("path", "records", "read").rows() == [("prompt", 60, 0)]


def test_values_inside_lists_are_estimated_from_a_sample(tmp_path: Path) -> None:
    records = [ASKED | {"notes": [OTHER] * 20} for _ in range(100)]
    (line,) = account(tmp_path, *records).filter(pl.col("path") == "notes[]").iter_rows(named=True)
    assert line["estimated"]
    assert (line["records"], line["read"], line["chars"]) == (100, 0, 2000 * len(OTHER))


def test_a_mapping_leaves_the_other_keys_unread_unless_they_are_kept(tmp_path: Path) -> None:
    record = {"ask": "q?", "reply": PROSE, "why": OTHER, "who": "a committee of four persons"}
    fields = "layout: alpaca\nfields: {instruction: ask, output: reply}\nkeep: [who]"
    assert unread(tmp_path, record, yaml=fields) == {"why"}


def test_running_text_comes_first(tmp_path: Path) -> None:
    records = [ASKED | {"id": f"{n:040}", "short": "x", "remark": PROSE, "more": OTHER + PROSE} for n in range(5)]
    assert find_unread(account(tmp_path, *records).lazy()).collect()["path"].to_list() == [
        "more", "remark", "id", "short",
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("User", "Assistant"), ("Usuario", "Asistente"), ("Ann", "Ben")])
def test_the_marks_of_speakers_are_no_unread_text(tmp_path: Path, names: tuple[str, str]) -> None:
    turns = ["What is a sluice in the water of a canal?", "A gate that opens and closes.", "And a dyke?", "A wall."]
    text = "\n".join(f"{names[place % 2]}: {turn}" for place, turn in enumerate(turns))
    assert find_unread(account(tmp_path, {"text": text}, {"text": text}).lazy()).collect().is_empty()
