"""Conservation where rows begin: every record of every file is a row, or a decision that says why not and quotes it."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infinity_assets.rows import schema
from infinity_assets.rows.grammar import grammar_faults
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.rows.readers import containers
from infinity_assets.rows.readers import reading as reading_module
from infinity_assets.rows.readers.benchmarks import ITEM, read_benchmark
from infinity_assets.rows.readers.reading import TABLES, read_source
from infinity_assets.rows.sources import Source, load_source
from infinity_assets_tests.rows.readers.in_memory import Frames, read

SHARED = Path(__file__).parents[3] / "shared/data"


def make(folder: Path, files: Mapping[str, str | bytes]) -> Source:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_source(folder)


def dropped(reading: Frames) -> pl.DataFrame:
    return reading.decisions.filter(pl.col("verdict") == "dropped")


MIXED = {
    "source.yaml": "licence: MIT\ndomain: math\nlanguage: en",
    "b.jsonl": '{"question": "q", "answer": "a"}\n\n{"foo": 1}\n{"question": "x", "answ',
    "a/list.json": '[{"instruction": "i", "input": "", "output": "o"},\n {"messages": [{"role": "user", "content": "u"},'
    '{"role": "assistant", "content": "v<|im_end|>"}]},]',
    "seeds.jsonl": '{"instruction": "s", "instances": [{"input": "1", "output": "a"}, {"input": "2", "output": "b"}]}\n',
}


def test_rows_say_where_they_came_from(tmp_path: Path) -> None:
    reading = read(make(tmp_path / "mixed", MIXED))
    assert reading.rows.schema == schema.ROW
    assert reading.rows.select("file", "position", "kind").rows() == [
        ("a/list.json", 0, "conversation"),
        ("a/list.json", 1, "conversation"),
        ("b.jsonl", 0, "conversation"),
        ("seeds.jsonl", 0, "conversation"),
        ("seeds.jsonl", 0, "conversation"),
    ]
    assert set(reading.rows.select("source", "licence", "domain", "language").rows()) == {("mixed", "MIT", "math", "en")}
    assert reading.rows["row_id"].to_list() == with_row_ids(reading.rows)["row_id"].to_list()


def test_decisions_say_what_happened_to_the_others(tmp_path: Path) -> None:
    reading = read(make(tmp_path / "mixed", MIXED))
    assert reading.decisions.schema == schema.DECISIONS
    assert reading.decisions.select("file", "position", "verdict", "reason").rows() == [
        ("a/list.json", 1, "repaired", "trailing_comma+template_debris"),
        ("b.jsonl", 2, "dropped", "unknown_layout"),
        ("b.jsonl", 3, "dropped", "truncated_json"),
    ]
    assert reading.decisions["row_id"].to_list() == [reading.rows["row_id"][1], None, None]
    details = [json.loads(detail) for detail in reading.decisions["detail"]]
    assert "<|im_end|>" in details[0]["raw"]
    assert details[1] == {"raw": '{"foo": 1}', "error": "{foo: number}"}
    assert details[2]["raw"] == '{"question": "x", "answ'
    assert "Unterminated" in details[2]["error"]


def test_a_decision_quotes_the_beginning_of_a_long_record(tmp_path: Path) -> None:
    reading = read(make(tmp_path, {"a.json": json.dumps([{"unknown": "x" * 5000}])}))
    assert len(json.loads(reading.decisions["detail"][0])["raw"]) == 2000


def test_what_a_source_does_not_say_is_null(tmp_path: Path) -> None:
    rows = read(make(tmp_path, {"a.txt": "one\n\ntwo"})).rows
    assert rows.select("licence", "domain", "language", "kind").rows() == [("unknown", None, None, "text")] * 2


def test_an_empty_source_has_the_same_columns(tmp_path: Path) -> None:
    for files in ({}, {"a.json": "[]"}, {"a.json": '[{"foo": 1}]'}):
        reading = read(make(tmp_path, files))
        assert reading.rows.schema == schema.ROW
        assert reading.decisions.schema == schema.DECISIONS
        assert reading.rows.is_empty()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record a block of its own, every block a unit of its own, as far as the form of a file allows."""
    monkeypatch.setattr(containers, "BLOCK", 20)
    monkeypatch.setattr(reading_module, "UNIT", 1)


def assert_same(one: Frames, other: Frames) -> None:
    assert one.records == other.records
    for name in TABLES:
        assert_frame_equal(getattr(one, name), getattr(other, name))


def test_blocks_do_not_show(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = make(tmp_path / "mixed", {**MIXED, "long.json": json.dumps([{"question": f"q{n}", "answer": "a" * n} for n in range(50)])})
    whole = read(source)
    request.getfixturevalue("small_blocks")
    assert_same(read(source), whole)


def test_the_number_of_processes_does_not_show(tmp_path: Path, small_blocks: None) -> None:
    source = make(tmp_path / "mixed", MIXED)
    assert_same(read(source, workers=2), read(source))


def test_progress_goes_to_the_end(tmp_path: Path, small_blocks: None) -> None:
    seen: list[tuple[int, int]] = []
    source = make(tmp_path / "mixed", MIXED)
    read_source(source, tmp_path, progress=lambda done, total: seen.append((done, total)))
    total = sum(Path(file.path).stat().st_size for file in source.files())
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)


LINES = [
    '{"question": "q", "answer": "a"}',
    '{"instruction": "i", "instances": [{"output": "a"}, {"output": {}}, {"output": ""}]}',
    '{"conversations": [{"from": "gpt", "value": "hi"}, {"from": "human", "value": "q"}]}',
    '["q", "a", "m"]',
    '"text"',
    '{"foo": NaN,}',
    "{broken",
    '{"text": "\\ud800"}',
    " ",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.sampled_from(LINES) | st.text('{}[]",:a', max_size=8), max_size=8),
    suffix=st.sampled_from([".json", ".jsonl", ".txt", ".yaml", ".csv"]),
    junk=st.binary(max_size=3),
)
def test_records_are_rows_plus_dropped(tmp_path: Path, lines: list[str], suffix: str, junk: bytes) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    reading = read(make(tmp_path, {f"a{suffix}": "\n".join(lines).encode() + junk}))
    assert reading.records == reading.rows.height + dropped(reading).height
    assert dropped(reading)["row_id"].null_count() == dropped(reading).height
    assert reading.decisions.filter(verdict="repaired").join(reading.rows, "row_id", "anti").is_empty()
    assert grammar_faults(reading.rows).is_empty()


BENCHMARK_RECORDS = [
    ({"question": "q", "answer": "a"}, "q", "a"),
    ({"problem": "q", "solution": "a", "idx": 1}, "q", "a"),
    ({"prompt": "q", "canonical_solution": "a", "test": "x"}, "q", "a"),
    ({"prompt": "q", "kwargs": [{}]}, "q", None),
    ({"text": "q", "code": "a", "test_list": ["x"]}, "q", "a"),
    ({"instruction": "q", "output": "a", "generator": "x"}, "q", "a"),
    ({"instruction": "q", "instances": [{"input": "i", "output": "a"}]}, "q\n\ni", "a"),
    ({"Instruction": "q"}, "q", None),
    ({"input": "q", "target": "a"}, "q", "a"),
    ({"turns": ["q", "r"]}, "q\nr", None),
    ({"turns": [{"content": "q"}]}, "q", None),
]


@pytest.mark.parametrize(("record", "prompt", "answer"), BENCHMARK_RECORDS)
def test_items(tmp_path: Path, record: dict, prompt: str, answer: str | None) -> None:
    make(tmp_path / "bench", {"test.jsonl": json.dumps(record)})
    items = read_benchmark(tmp_path / "bench").items
    assert items.schema == ITEM
    assert items.rows() == [("bench#0", "bench", "test.jsonl", 0, prompt, answer, None)]


def test_items_are_counted(tmp_path: Path) -> None:
    files = {
        "model a.json": '[{"instruction": "q", "output": "1"}, {"instruction": "q", "output": "2"}]',
        "model b.json": '[{"instruction": "q", "output": "3"}, {"instruction": "r", "output": "4"}]',
        "wrapped.json": '{"canary": "c", "examples": [{"input": "s", "target": "5"}]}',
        "reference.jsonl": '{"choices": [{"turns": ["x"]}]}\nbroken',
        "source.yaml": "domain: math",
    }
    make(tmp_path / "bench", files)
    benchmark = read_benchmark(tmp_path / "bench")
    assert benchmark.items["item_id"].to_list() == [
        "bench/model a.json#0",
        "bench/model a.json#1",
        "bench/model b.json#1",
        "bench/wrapped.json#0",
    ]
    assert set(benchmark.items["domain"]) == {"math"}
    assert (benchmark.records, benchmark.skipped, benchmark.repeated) == (7, 2, 1)


PUBLISHED_SOURCES = {
    "gsm8k_train": 7_473,
    "codealpaca": 6_573,
    "carbonz0_alpaca_zh": 20_465,
    "fastchat_dummy": 500,
    "chatterbot_corpus": 7_617,
}
PUBLISHED_ITEMS = {
    "gsm8k_test": 1_319,
    "humaneval": 164,
    "mbpp": 974,
    "math_test": 5_000,
    "ifeval": 541,
    "mt_bench": 80,
    "alpaca_eval": 805,
    "arena_hard": 500,
    "bbh": 6_511,
}


def shared(folder: str) -> Path:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"the development data are not on this machine: {SHARED / folder}")
    return SHARED / folder


@pytest.mark.parametrize(("name", "records"), PUBLISHED_SOURCES.items())
def test_published_sources_are_read_whole(name: str, records: int) -> None:
    reading = read(load_source(shared(f"sources/{name}")))
    assert reading.rows.height == reading.records == records
    assert grammar_faults(reading.rows).is_empty()


@pytest.mark.parametrize(("name", "count"), PUBLISHED_ITEMS.items())
def test_published_benchmarks_are_read_whole(name: str, count: int) -> None:
    items = read_benchmark(shared(f"benchmarks/{name}")).items
    assert items.height == items["item_id"].n_unique() == count
