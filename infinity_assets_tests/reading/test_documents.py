"""Tests that the records of a document are found by its form, and that a single record is not split."""

import pytest

from infinity_assets.reading.documents import items_of

A = {"instruction": "q", "output": "a"}
B = {"instruction": "r", "output": "b"}
TURNS = [{"role": "client", "content": "q", "annotation": []}, {"role": "counselor", "content": "a", "annotation": []}]
QA = {"question": "q", "answers": [{"text": "a"}], "id": "1"}

DOCUMENTS = {
    "a list": ([A, B], [A, B]),
    "nothing": ([], []),
    "a list of texts": (["a", "b"], ["a", "b"]),
    "a list of dialogues": ([TURNS, TURNS], [TURNS, TURNS]),
    "a list that is a dialogue": (TURNS, [TURNS]),
    "a known key": ({"version": 1, "data": [A, B]}, [A, B]),
    "any key": ({"name": "x", "entries": [A, B]}, [A, B]),
    "dialogues": ({"categories": ["x"], "conversations": [["q", "a"], ["r", "b"]]}, [["q", "a"], ["r", "b"]]),
    "splits": ({"version": 1, "train": [A], "test": [B]}, [A, B]),
    "splits of records by id": ({"train": {"0": A, "1": B}, "test": [A]}, [A, B, A]),
    "nothing but lists of records": ({"easy": [A], "hard": [B]}, [A, B]),
    "dialogues by id": ({"x1": TURNS, "x2": TURNS}, [TURNS, TURNS]),
    "records by number": ({"0": A, "1": B}, [A, B]),
    "records by id": ({"1.json": {"goal": {}, "log": [1]}, "2.json": {"log": [2]}}, [{"goal": {}, "log": [1]}, {"log": [2]}]),
    "columns": ({"instruction": ["q", "r"], "output": ["a", "b"], "name": "x"}, [A, B]),
    "columns as pandas writes them": ({"instruction": {"0": "q", "1": "r"}, "output": {"0": "a", "1": "b"}}, [A, B]),
    "BIG-bench": (
        {"description": "d", "task_prefix": "p", "keywords": ["k"], "examples": [{"input": "q", "target": "a"}]},
        [{"instruction": "p", "input": "q", "target": "a"}],
    ),
    "a description is no instruction of whole records": ({"description": "d", "examples": [A]}, [A]),
    "a system prompt for all": ({"system": "s", "data": [A]}, [{"system": "s", **A}]),
    "lists under other keys": ({"data": [A], "more": [A], "errata": [{"page": 3}]}, [A, A, {"page": 3}]),
    "two lists of records": ({"examples": [A], "items": [A]}, [A, A]),
    "a split beside another list": ({"train": [A], "dev": [A], "extra": [A]}, [A, A, A]),
    "splits one level deeper": ({"data": {"train": [A], "dev": [A]}}, [A, A]),
    "lists beside an empty object": ({"math": [A], "art": [A], "meta": {}}, [A, A]),
    "SQuAD": (
        {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [QA, QA]}]}], "version": 1},
        [{"title": "t", "context": "c", **QA}] * 2,
    ),
    "Super-NaturalInstructions": (
        {"Definition": ["d"], "Positive Examples": [{"input": "x"}], "Instances": [{"input": "q", "output": ["a"]}]},
        [{"instruction": "d", "input": "q", "output": ["a"]}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("document", "records"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_split_into_its_records(document: object, records: list) -> None:
    assert items_of(document) == records


SINGLE = [
    A,
    {"messages": TURNS},
    {"dialogue_id": "1", "services": ["x"], "turns": [{"speaker": "USER", "utterance": "q", "frames": []}]},
    {"context": "c", "QA_list": [{"Q": "q", "A": "a"}]},
    {"prompt": "q", "completions": [{"response": "a", "overall_score": 1}]},
    {"question": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}], "answerKey": "A"},
    {"turn_1": {"human": "q", "bot": "a"}, "turn_2": {"human": "q", "bot": "a"}},
    {"meta_instruction": "s", "chat": {"turn_1": {"Human": "q", "MOSS": "a"}, "turn_2": {"Human": "q", "MOSS": "a"}}},
    {"chosen": TURNS, "rejected": TURNS},
    {"instruction": "q", "output": "a", "tags": ["x", "y"], "scores": [1, 2]},
    {"instruction": "i", "input": "q", "output": "a", "examples": [{"input": "x", "output": "y"}]},
    {"question": "q", "answer": "a", "data": [{"question": "x", "answer": "y"}]},
    {"tokens": ["x", "y"], "ner_tags": [0, 1]},
    {"personality": ["x", "y"], "utterances": [{"candidates": ["x"], "history": ["y"]}]},
    {"title": "no known layout"},
    "text",
    None,
]


@pytest.mark.parametrize("record", SINGLE, ids=str)
def test_a_single_record_stays_whole(record: object) -> None:
    assert items_of(record) == [record]
