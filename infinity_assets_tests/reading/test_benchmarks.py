"""Tests that benchmarks are read in the forms in which they are published."""

import json
from pathlib import Path

import polars as pl
import pytest

from infinity_assets.reading.benchmarks import ITEM, Item, item_of, read_benchmark

SHARED = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"

RECORDS = {
    "gsm8k": ({"question": "How many?", "answer": "7 <<3+4=7>>\n#### 7"}, Item("How many?", None, "7 <<3+4=7>>\n#### 7")),
    "math": ({"problem": "Find x.", "level": "Level 1", "type": "Algebra", "solution": "It is 4."}, Item("Find x.", None, "It is 4.")),
    "math of 500": ({"problem": "Find x.", "solution": "It is 4.", "answer": "4", "unique_id": "a/1.json"}, Item("Find x.", None, "4")),
    "humaneval": (
        {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "  return 1\n", "test": "", "entry_point": "f"},
        Item("def f():", None, "  return 1\n"),
    ),
    "mbpp": ({"text": "Write f.", "code": "def f(): ...", "task_id": 1, "test_list": ["assert f()"]}, Item("Write f.", None, "def f(): ...")),
    "mbpp, sanitized": ({"source_file": "a", "task_id": 1, "prompt": "Write f.", "code": "def f(): ..."}, Item("Write f.", None, "def f(): ...")),
    "mmlu of the hub": (
        {"question": "Which?", "subject": "anatomy", "choices": ["red", "blue", "green", "grey"], "answer": 2},
        Item("Which?", ["red", "blue", "green", "grey"], "green"),
    ),
    "mmlu, original": (
        {"column_0": "Which?", "column_1": "red", "column_2": "blue", "column_3": "7", "column_4": "8", "column_5": "B"},
        Item("Which?", ["red", "blue", "7", "8"], "blue"),
    ),
    "c-eval": (
        {"id": "0", "question": "哪一个？", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": "C", "explanation": ""},
        Item("哪一个？", ["甲", "乙", "丙", "丁"], "丙"),
    ),
    "c-eval, test": ({"id": "0", "question": "哪一个？", "A": "甲", "B": "乙", "C": "丙", "D": "丁"}, Item("哪一个？", ["甲", "乙", "丙", "丁"])),
    "cmmlu": (
        {"": "0", "Question": "哪一个？", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "Answer": "A"},
        Item("哪一个？", ["甲", "乙", "丙", "丁"], "甲"),
    ),
    "bbh": ({"input": "not True is", "target": "False"}, Item("not True is", None, "False")),
    "ifeval": ({"key": 1, "prompt": "Write, without commas.", "instruction_id_list": ["x"], "kwargs": [{}]}, Item("Write, without commas.")),
    "mt-bench": (
        {"question_id": 81, "category": "writing", "turns": ["Write.", "Rewrite."], "reference": ["one", "two"]},
        Item("Write.", ["Rewrite."], "one\ntwo"),
    ),
    "mt-bench of the hub": ({"prompt_id": 1, "prompt": ["Write.", "Rewrite."], "category": "writing"}, Item("Write.", ["Rewrite."])),
    "mt-bench, reference answers": (
        {"question_id": 81, "answer_id": "x", "model_id": "m", "choices": [{"index": 0, "turns": ["one"]}], "tstamp": 1.0}, None,
    ),
    "alpaca-eval": ({"dataset": "koala", "instruction": "Sing.", "output": "La.", "generator": "m"}, Item("Sing.", None, "La.")),
    "arena-hard": ({"question_id": "a", "category": "x", "cluster": "y", "turns": [{"content": "Prove it."}]}, Item("Prove it.")),
    "arena-hard 2": ({"uid": "a", "category": "x", "prompt": "Prove it."}, Item("Prove it.")),
    "arc": (
        {"id": "1", "question": "Which?", "choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "2"},
        Item("Which?", ["red", "blue"], "blue"),
    ),
    "gpqa": (
        {"Question": "Which?", "Correct Answer": "red", "Incorrect Answer 1": "blue", "Incorrect Answer 2": "green"},
        Item("Which?", ["red", "blue", "green"], "red"),
    ),
    "a digit that is no number": ({"question": "Which?", "choices": ["x", "y"], "answer": "²"}, Item("Which?", ["x", "y"], "²")),
    "a long number": ({"question": "Which?", "choices": ["x", "y"], "answer": "9" * 5000}, Item("Which?", ["x", "y"], "9" * 5000)),
    "an instance with a number for a key": ({"instruction": "Sum up.", "instances": [{1: "x"}]}, Item("Sum up.")),
    "hellaswag": ({"ctx": "She sits", "endings": ["down.", "up."], "label": "1"}, Item("She sits", ["down.", "up."], "up.")),
    "self-instruct": ({"instruction": "Sum up.", "instances": [{"input": "A text.", "output": "It."}]}, Item("Sum up.\n\nA text.", None, "It.")),
    "with a passage": ({"passage": "Rain fell.", "question": "What fell?", "answer": "rain"}, Item("Rain fell.\n\nWhat fell?", None, "rain")),
    "no record": (["a", "b"], None),
    "nothing asked": ({"question": "  ", "answer": "7"}, None),
    "a number": ({"question": 5}, None),
}  # fmt: skip


@pytest.mark.parametrize(("record", "item"), RECORDS.values(), ids=RECORDS)
def test_a_record_is_read_by_its_keys(record: object, item: Item | None) -> None:
    assert item_of(record) == item


def write(folder: Path, name: str, *records: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


def test_files_of_the_original_repositories_are_read(tmp_path: Path) -> None:
    """MMLU's tables have no header; MATH has a file per problem."""
    (tmp_path / "mmlu" / "test").mkdir(parents=True)
    (tmp_path / "mmlu" / "test" / "rivers_test.csv").write_text(
        "Which of these rivers is the longest one of all?,Rhine,Nile,Elbe,Seine,B\nWhat flows uphill if anything at all?,Water,Smoke,Sand,Oil,B\n"
    )
    found = read_benchmark(tmp_path / "mmlu").items
    assert found.schema == ITEM
    assert found.select("item_id", "prompt", "answer").rows() == [
        ("mmlu#0", "Which of these rivers is the longest one of all?", "Nile"),
        ("mmlu#1", "What flows uphill if anything at all?", "Smoke"),
    ]
    for number in range(2):
        write(tmp_path / "math", f"test/algebra/{number}.json", {"problem": f"Find {number}.", "solution": "There."})
    assert read_benchmark(tmp_path / "math").items["item_id"].to_list() == [
        "math/test/algebra/0.json#0",
        "math/test/algebra/1.json#0",
    ]


def test_parquet_of_the_hub_is_read(tmp_path: Path) -> None:
    (tmp_path / "mmlu" / "all").mkdir(parents=True)
    frame = pl.DataFrame({"question": ["Which?"], "subject": ["x"], "choices": [["red", "blue"]], "answer": [1]})
    frame.write_parquet(tmp_path / "mmlu" / "all" / "test-00000-of-00001.parquet")
    found = read_benchmark(tmp_path / "mmlu").items.row(0, named=True)
    assert (found["further"], found["answer"]) == (["red", "blue"], "blue")


def test_every_record_is_an_item_or_counted_with_a_reason(tmp_path: Path) -> None:
    write(tmp_path / "exam", "test.jsonl", {"question": "One?"}, {"question": "One?"}, {"answer": "no question"}, 7)
    write(tmp_path / "exam", "other_model.jsonl", {"question": "One?"}, {"question": "Two?"})
    write(tmp_path / "exam", "train.jsonl", {"question": "Three?"})
    with (tmp_path / "exam" / "test.jsonl").open("a") as file:
        file.write('{"question": "Broken\n')
    found = read_benchmark(tmp_path / "exam")
    assert found.records == 8
    assert found.items.height + sum(found.skipped.values()) == found.records
    assert sorted(found.items["prompt"]) == ["One?", "One?", "Two?"]
    assert found.skipped["no_prompt"] == 2
    assert found.skipped["repeated_prompt"] == 1
    assert found.skipped["another_split"] == 1
    assert sum(found.skipped.values()) == 5


def test_a_canary_beside_the_examples_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "bbh").mkdir()
    (tmp_path / "bbh" / "snarks.json").write_text('{"canary": "c", "examples": [{"input": "s", "target": "5"}]}')
    assert read_benchmark(tmp_path / "bbh").items.select("item_id", "prompt", "answer").rows() == [("bbh#0", "s", "5")]


def test_a_split_named_train_is_read_if_it_is_the_only_one(tmp_path: Path) -> None:
    """IFEval's only split on the Hub is `train`."""
    write(tmp_path / "ifeval", "train.jsonl", {"prompt": "Write."})
    assert read_benchmark(tmp_path / "ifeval").items.height == 1
    write(tmp_path / "both", "train.jsonl", {"prompt": "Write."})
    write(tmp_path / "both", "test.jsonl", {"prompt": "Sing."})
    assert read_benchmark(tmp_path / "both").items["prompt"].to_list() == ["Sing."]
    (tmp_path / "both" / "source.yaml").write_text("include: ['*.jsonl']\n")
    assert read_benchmark(tmp_path / "both").items.height == 2


def test_source_yaml_maps_fields_and_sets_the_domain(tmp_path: Path) -> None:
    write(tmp_path / "odd", "data.jsonl", {"meta": {"ask": "Why?"}, "reply": "So."})
    assert read_benchmark(tmp_path / "odd").items.is_empty()
    (tmp_path / "odd" / "source.yaml").write_text("domain: math\nfields:\n  question: meta.ask\n  answer: reply\n")
    assert read_benchmark(tmp_path / "odd").items.select("prompt", "answer", "domain").rows() == [
        ("Why?", "So.", "math")
    ]


@pytest.mark.parametrize("content", ["", "\n", "[]", '{"a": 1}\n', "{{{{"])
def test_a_benchmark_without_items_is_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "data.jsonl").write_text(content)
    found = read_benchmark(tmp_path / "empty")
    assert found.items.schema == ITEM
    assert found.items.is_empty()
    assert found.records == sum(found.skipped.values())


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED}, the real benchmarks, is not here")
@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("gsm8k_test", 1319), ("humaneval", 164), ("mbpp", 974), ("math_test", 5000), ("ifeval", 541), ("mt_bench", 80),
        ("vicuna_bench", 80), ("alpaca_eval", 805), ("bbh", 6511), ("arena_hard", 500), ("sft_testsets", 990),
    ],
)  # fmt: skip
def test_published_benchmarks_have_the_known_number_of_items(name: str, items: int) -> None:
    found = read_benchmark(SHARED / name)
    assert found.items.height == items
    assert found.items["item_id"].is_unique().all()
    assert found.records == items + sum(found.skipped.values())
