"""Tests that every record of every file becomes a row or a decision with a reason and a quote."""

import bz2
import gzip
import json
import lzma
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infinity_assets.errors import InfinityError
from infinity_assets.reading import reader as reading_module
from infinity_assets.reading.containers import CONTAINERS, base
from infinity_assets.reading.reader import TABLES, read_source
from infinity_assets.reading.sources import Source, load_source
from infinity_assets.rows import schema
from infinity_assets.rows.grammar import find_grammar_faults
from infinity_assets.rows.ids import add_row_ids
from infinity_assets_tests.properties import examples
from infinity_assets_tests.reading.in_memory import Frames, read

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


def test_rows_have_file_position_and_source_columns(tmp_path: Path) -> None:
    reading = read(make(tmp_path / "mixed", MIXED))
    assert reading.rows.schema == schema.ROW
    places = [("a/list.json", 0), ("a/list.json", 1), ("b.jsonl", 0), ("seeds.jsonl", 0), ("seeds.jsonl", 0)]
    assert reading.rows.select("file", "position").rows() == places
    constants = reading.rows.select("source", "licence", "domain", "language", "kind").unique()
    assert constants.rows() == [("mixed", "MIT", "math", "en", "conversation")]
    assert reading.rows["row_id"].to_list() == add_row_ids(reading.rows)["row_id"].to_list()


def test_dropped_and_repaired_records_have_decisions(tmp_path: Path) -> None:
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


def test_undefined_columns_of_a_source_are_null(tmp_path: Path) -> None:
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
    """Make every record a block and every block a unit, as far as the container allows."""
    monkeypatch.setattr(base, "BLOCK", 20)
    monkeypatch.setattr(reading_module, "UNIT", 1)


def assert_same(one: Frames, other: Frames) -> None:
    assert one.records == other.records
    for name in TABLES:
        assert_frame_equal(getattr(one, name), getattr(other, name))


def test_the_block_size_does_not_change_the_tables(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    long = json.dumps([{"question": f"q{n}", "answer": "a" * n} for n in range(50)])
    source = make(tmp_path / "mixed", {**MIXED, "long.json": long})
    whole = read(source)
    request.getfixturevalue("small_blocks")
    assert_same(read(source), whole)


def test_the_number_of_processes_does_not_change_the_tables(tmp_path: Path, small_blocks: None) -> None:
    source = make(tmp_path / "mixed", MIXED)
    assert_same(read(source, workers=2), read(source))


def test_progress_ends_at_the_total(tmp_path: Path, small_blocks: None) -> None:
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


def _kill_process(rows: pl.DataFrame) -> pl.DataFrame:
    os._exit(9)


def test_a_killed_process_is_an_error_of_one_sentence(tmp_path: Path, small_blocks: None) -> None:
    source = make(tmp_path / "mixed", MIXED)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(InfinityError, match="`mixed` was killed"):
        read_source(source, scratch, workers=2, complete=_kill_process)
    assert read(source, workers=2).records == read(source).records  # new processes are started


ORPHANS = """
import multiprocessing, os, signal, time
from infinity_assets.reading.reader import start_processes

if __name__ == "__main__":
    start_processes(2)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Surviving processes would hold each other's queue and the terminal open forever."""
    (tmp_path / "parent.py").write_text(ORPHANS)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, tmp_path / "parent.py"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == -signal.SIGKILL  # the output ended within the timeout, so no process holds it open
    assert len(run.stdout.split()) >= 1


DAMAGED = {
    "a.jsonl": b'{"question": "q", "answer": "a"}\n{"question": "q", "answer": "b",}\n{"question": "x"y", "answer": "c"}\n\n{"foo": 1}\n',
    "b.json": b'[{"question": "q", "answer": "a"}, {"question": "q", "answer": "b",}, {"foo": 1}, {"question": "x"y", "answer": "c"}]',
    "c.json": b'[{"foo": 1}, {"question": "q", "answer": "a<|im_end|>"},\n {"foo": "\\u00e9"}]',
    "d.csv": b'question,answer\nq,a\n"q,b\nq,c,d\n',
    "e/f.jsonl.gz": gzip.compress(b'{"question": "q", "answer": "a"}\n' * 50)[:-12],
    "several.jsonl": b'{"foo": 0}\n{"question": "q", "answer": "a"} {"question": "r", "answer": "b",} {oops}\n',
}


def test_quarantine_holds_the_bytes_of_dropped_and_repaired_records(tmp_path: Path) -> None:
    source = make(tmp_path, DAMAGED)
    reading = read(source)
    decided = reading.decisions.select("file", "position").unique(maintain_order=True)
    assert decided.rows() == reading.quarantine.select("file", "position").rows()
    found = {(file, position): raw for _, file, position, raw in reading.quarantine.rows()}
    for (file, _), raw in found.items():
        assert raw in DAMAGED[file] or file.endswith(".gz")
    unknown, comma, quote = b'{"foo": 1}', b'{"question": "q", "answer": "b",}', b'{"question": "x"y", "answer": "c"}'
    kept = {
        ("a.jsonl", 1): comma, ("a.jsonl", 2): quote, ("a.jsonl", 4): unknown,
        ("b.json", 1): comma, ("b.json", 2): unknown, ("b.json", 3): quote + b"]",
        ("c.json", 0): unknown, ("c.json", 1): b'{"question": "q", "answer": "a<|im_end|>"}', ("c.json", 2): b'{"foo": "\\u00e9"}',
        ("d.csv", 1): b'"q,b\n', ("d.csv", 2): b"q,c,d\n",
    }  # fmt: skip
    assert kept.items() <= found.items()


def test_a_record_after_a_split_one_has_its_own_bytes_in_quarantine(tmp_path: Path) -> None:
    """The second element of the list is the third record, so elements and records have different positions."""
    task = {"Definition": ["Add."], "Instances": [{"input": "1", "output": ["2"]}, {"input": "2", "output": ["3"]}]}
    reading = read(make(tmp_path, {"a.json": json.dumps([task, {"foo": 1}])}))
    assert reading.quarantine.select("position", "raw").rows() == [(2, b'{"foo":1}')]


def test_the_counts_of_files_add_up(tmp_path: Path) -> None:
    reading = read(make(tmp_path, {**DAMAGED, "none.json": "[]"}))
    counts = reading.files.select("file", "records", "rows", "repaired", "dropped").rows()
    assert [file for file, *_ in counts] == sorted([*DAMAGED, "none.json"])
    for file, records, rows, repaired, dropped_in_file in counts:
        assert records == rows + dropped_in_file
        assert rows == reading.rows.filter(file=file).height
        assert dropped_in_file == dropped(reading).filter(file=file).height
        assert repaired == reading.decisions.filter(file=file, verdict="repaired").height
    assert reading.records == sum(records for _, records, *_ in counts)


def test_values_beside_the_conversation_are_annotations(tmp_path: Path) -> None:
    chosen = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    reading = read(make(tmp_path, {"a.jsonl": json.dumps(chosen)}))
    assert reading.annotations.schema == schema.ANNOTATIONS
    assert set(reading.annotations["row_id"]) == set(reading.rows["row_id"])
    assert "bad" in reading.annotations["value"].str.join("").item()


def test_thousands_of_tiny_files_are_read(tmp_path: Path) -> None:
    files = {f"{n % 50}/{n}.json": json.dumps({"question": f"q{n}", "answer": "a"}) for n in range(3000)}
    reading = read(make(tmp_path, files), workers=2)
    assert (reading.records, reading.rows.height, reading.files.height) == (3000, 3000, 3000)
    assert reading.rows["file"].is_sorted()
    assert reading.files["records"].unique().to_list() == [1]


SUFFIXES = [
    f"{suffix}{packed}" for suffix in (*CONTAINERS, ".zip", ".tar", ".tgz") for packed in ("", ".gz", ".zst", ".bz2", ".xz")
]  # fmt: skip
PACKERS = [bytes, gzip.compress, bz2.compress, lzma.compress]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(SUFFIXES),
    data=st.binary(max_size=100)
    | st.text('{}[]",:\\-a1 \n\x00q').map(str.encode)
    | st.lists(st.sampled_from(LINES) | st.text('{}[]",:a', max_size=8), max_size=8).map("\n".join).map(str.encode),
    pack=st.sampled_from(PACKERS),
    cut=st.integers(0, 3),
)
def test_any_bytes_under_any_name_give_rows_or_decisions(
    tmp_path: Path, suffix: str, data: bytes, pack: Callable[[bytes], bytes], cut: int
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    packed = pack(data)
    reading = read(make(tmp_path, {f"a{suffix}": packed[: len(packed) - cut]}))
    assert reading.records == reading.rows.height + dropped(reading).height
    assert dropped(reading)["row_id"].null_count() == dropped(reading).height
    assert reading.decisions.filter(verdict="repaired").join(reading.rows, "row_id", "anti").is_empty()
    assert find_grammar_faults(reading.rows).is_empty()
    decided = reading.decisions.select("file", "position").unique(maintain_order=True)
    assert decided.rows() == reading.quarantine.select("file", "position").rows()


PUBLISHED_SOURCES = {
    "alpaca_cot": 25_970, "alpaca_en_head": 36_122, "alpaca_zh_hikariming": 30_559, "carbonz0_alpaca_zh": 20_465,
    "chatterbot_corpus": 7_617, "cherry_alpaca_5pct": 3_111, "codealpaca": 6_573, "easyinstruct_alpaca_5k": 5_000,
    "fastchat_dummy": 500, "gpteacher": 32_605, "gsm8k_train": 7_473, "gsm8k_train_alpaca_format": 7_473,
    "llamafactory_demos": 4_474, "moss_sft_samples": 1_740, "probe_alpaca_eval_outputs": 1_610, "probe_gsm8k_8shot": 1_319,
    "self_instruct": 5_931, "sgd_train": 12_174, "smile_zh_multiturn": 20_000, "squad_dev_contexts": 10_565,
    "t0_train_50k": 55_185, "xquad_contexts": 14_280,
}  # fmt: skip
"""Records by source, as the manifest counts them. natural_instructions_v1 is missing because it takes as long as all
others, text_corpora and instructionwild because the manifest counts their lines."""


def shared(folder: str) -> Path:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"the development data is not on this machine: {SHARED / folder}")
    return SHARED / folder


@pytest.mark.parametrize(("name", "records"), PUBLISHED_SOURCES.items())
def test_published_sources_are_read_completely(name: str, records: int) -> None:
    reading = read(load_source(shared(f"sources/{name}")), workers=2)
    assert reading.rows.height + dropped(reading).height == reading.records == records
    assert dropped(reading).height <= 0.006 * records
    assert find_grammar_faults(reading.rows).is_empty()
