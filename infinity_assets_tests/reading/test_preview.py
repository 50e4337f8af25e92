"""Tests that a preview shows the rows of a run and lists the files that it skipped."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.reading import preview as module
from infinity_assets.reading.preview import Limits, Preview, preview
from infinity_assets.reading.sources import Source, load_source
from infinity_assets.scoring.content import fill_language_and_domain
from infinity_assets_tests.properties import examples
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import MIXED, make

ASKED = [{"ask": f"question number {n}", "meta": {"reply": [f"the answer to {n}"]}} for n in range(70)]


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def questions(count: int) -> str:
    return lines(*({"question": f"question {n}?", "answer": f"answer {n}"} for n in range(count)))


def packed(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return data.getvalue()


def check_same_as_read(source: Source, seen: Preview) -> None:
    reading = read(source)
    counts = ((one, sum(one.repaired.values()), sum(one.dropped.values())) for one in seen.files if one.records)
    counted = {(one.file, one.records, one.rows, repaired, dropped) for one, repaired, dropped in counts}
    assert counted == set(reading.files.drop("source").filter(pl.col("records") > 0).rows())
    rows = reading.rows.sort("file", "position", maintain_order=True)
    examples = [(one.file, one.position, one.messages, one.kind) for one in seen.examples]
    assert examples == rows.select("file", "position", "messages", "kind").rows()
    reasons = sum((one.dropped for one in seen.files), Counter[str]())
    assert {one.reason: one.records for one in seen.dropped} == reasons
    assert seen.records == reading.records


def test_a_preview_without_limits_shows_all_rows_of_a_run(tmp_path: Path) -> None:
    more = {
        "c.csv": "question,answer\nq,a\nx,y,z\n",
        "d.yaml": "- instruction: i\n  output: o\n- x\n",
        "e.txt": "a passage\n\nanother\n",
        "f.tar.gz": packed({"g.jsonl": questions(3), "h.json": "[", "empty.jsonl": ""}),
        "i.jsonl.gz": b"\x1f\x8b cut",
    }
    source = make(tmp_path / "mixed", MIXED | more)
    check_same_as_read(source, preview(source, rows=1000, limits=Limits(None, None)))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.yaml", "a.txt", "a.jsonl.gz", "a.tar", "a.zip"]),
    data=st.binary(max_size=200),
)
def test_the_counts_of_any_bytes_equal_those_of_a_run(tmp_path: Path, name: str, data: bytes) -> None:
    for old in tmp_path.glob("source/*"):
        old.unlink()
    source = make(tmp_path / "source", {name: data})
    check_same_as_read(source, preview(source, rows=1000, limits=Limits(None, None)))


def test_only_the_first_records_of_a_file_are_read(tmp_path: Path) -> None:
    source = make(tmp_path / "long", {"a.jsonl": questions(50), "b.jsonl": questions(20)})
    seen = preview(source, rows=4, limits=Limits(records=20))
    assert [(one.file, one.records, one.whole) for one in seen.files] == [("a.jsonl", 20, False), ("b.jsonl", 20, True)]
    examples = [(one.file, one.position) for one in seen.examples]
    assert [file for file, _ in examples] == ["a.jsonl", "a.jsonl", "b.jsonl", "b.jsonl"]
    assert {examples[1][1] - examples[0][1], examples[3][1] - examples[2][1]} <= set(range(10, 20)), (
        "spread over what was read"
    )


def test_of_many_files_the_first_the_last_and_each_suffix_are_previewed(tmp_path: Path) -> None:
    files = {f"{n:03}.jsonl": questions(1) for n in range(200)} | {"100.csv": "question,answer\nq,a\n"}
    seen = preview(make(tmp_path / "many", files), limits=Limits(files=10))
    named = [one.file for one in seen.files]
    assert {"000.jsonl", "100.csv", "199.jsonl"} <= set(named)
    assert named == sorted(named)
    assert (seen.there, seen.looked_at) == (201, len(named))
    assert len(named) <= 12


def test_fewer_files_are_previewed_if_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / "large", {f"{n}.jsonl": questions(10) for n in range(9)})
    size = (source.path / "0.jsonl").stat().st_size
    monkeypatch.setattr(module, "MAX_BYTES", 3 * size)
    assert [one.file for one in preview(source).files] == ["0.jsonl", "4.jsonl", "8.jsonl"]


def test_the_first_files_of_an_archive_are_previewed(tmp_path: Path) -> None:
    files = {"README.md": "x"} | {f"{n}.jsonl": questions(1) for n in range(9)}
    source = make(tmp_path / "packed", {"all.tgz": packed(files), "c.pdf": ""})
    seen = preview(source, limits=Limits(files=4))
    assert [one.file for one in seen.files] == [f"all.tgz!{n}.jsonl" for n in range(4)]
    assert seen.more_in == ["all.tgz"]
    not_data = {"all.tgz!README.md": "a description of the data, by its name", "c.pdf": ".pdf is not a known container"}
    assert seen.left_out == not_data
    assert {one.container for one in seen.files} == {"JSON Lines in tar in gz"}
    assert preview(source, limits=Limits(None, None)).more_in == []


def test_a_large_tar_is_left_at_the_first_file_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{n}.jsonl": questions(1 if n < 2 else 9) for n in range(5)}
    source = make(tmp_path / "packed", {"all.tgz": packed(files)})
    assert len(preview(source, limits=Limits(records=5)).files) == 5
    monkeypatch.setattr(module, "MAX_SKIPPED", 0)
    seen = preview(source, limits=Limits(records=5))
    assert [one.file for one in seen.files] == [f"all.tgz!{n}.jsonl" for n in range(3)]
    assert seen.more_in == ["all.tgz"]


@pytest.mark.parametrize(
    ("name", "content", "container"),
    [
        ("a.json", questions(2), "JSON Lines"),
        ("a.jsonl", "[{}, {}]", "JSON list"),
        ("a.json", '{"data": [{}]}', "JSON"),
        ("a.yml", "- x", "YAML"),
        ("a.tsv", "a\tb\n1\t2\n", "CSV or TSV"),
        ("a.txt", "x", "plain text"),
        ("a.jsonl", "", "empty"),
        ("a.json.xz", "not packed\0", "unreadable"),
    ],
)
def test_the_container_is_named_by_content(tmp_path: Path, name: str, content: str, container: str) -> None:
    assert [one.container for one in preview(make(tmp_path / "one", {name: content})).files] == [container]


def test_rows_are_labelled_as_in_the_pool(tmp_path: Path) -> None:
    files = {
        "source.yaml": "licence: MIT\ndomain: math\nkeep: [n]",
        "a.jsonl": lines({"question": "Where is the bus?", "answer": "I do not know.", "n": 7}),
    }
    [example] = preview(make(tmp_path / "said", files), complete=fill_language_and_domain).examples
    labels = (example.licence, example.domain, example.language, example.layout)
    assert labels == ("MIT", "math", "en", "question_answer")
    assert example.kept == {"n": "7"}


def test_the_lines_for_records_in_no_known_layout_make_them_fit(tmp_path: Path) -> None:
    files = {"a.jsonl": lines(*ASKED, {"x": 1}), "b.json": json.dumps([{**ASKED[0], "id": None}])}
    source = make(tmp_path / "faq", files)
    asked, other = preview(source).unknown
    assert asked.shapes == {
        "{ask: text, meta: {reply: list of text}}": 70,
        "{ask: text, meta: {reply: list of text}, id: null}": 1,
    }
    assert (asked.tried, asked.fit, asked.files) == (51, 51, ["a.jsonl", "b.json"])
    assert json.loads(asked.example) == ASKED[0]
    assert (sum(other.shapes.values()), other.fit) == (1, 0)

    (source.path / "source.yaml").write_text(asked.lines)
    after = preview(load_source(source.path))
    assert (after.rows, after.records) == (71, 72)


def test_an_unnecessary_layout_is_reported(tmp_path: Path) -> None:
    source = make(tmp_path / "sound", {"a.jsonl": questions(3)})
    [unknown] = preview(source.model_copy(update={"layout": "sharegpt"})).unknown
    assert unknown.lines == "# Without `layout` and `fields` these records are read as question_answer."
    assert yaml.safe_load(unknown.lines) is None
    assert unknown.fit == 3


def test_shapes_beyond_the_maximum_are_counted_as_dropped(tmp_path: Path) -> None:
    source = make(tmp_path / "keys", {"a.jsonl": lines(*({f"key {n}": n, "v": n} for n in range(100)))})
    seen = preview(source)
    assert sum(len(one.shapes) for one in seen.unknown) == module.MAX_SHAPES
    assert [(one.reason, one.records) for one in seen.dropped] == [("unknown_layout", 100)]


VALUE = st.text(max_size=20) | st.none() | st.integers(0, 9)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=8), VALUE, max_size=4), min_size=1, max_size=5))
def test_suggested_lines_are_valid_yaml_for_any_records(tmp_path: Path, records: list[dict]) -> None:
    source = make(tmp_path / "any", {"a.json": json.dumps([*records, {"{ask": "a b", "reply": "c d"}])})
    for unknown in preview(source).unknown:
        assert set(yaml.safe_load(unknown.lines) or {}) <= {"layout", "fields"}
        assert 0 <= unknown.fit <= unknown.tried


def test_an_invalid_mapping_is_an_error(tmp_path: Path) -> None:
    source = make(tmp_path / "sound", {"a.jsonl": questions(1)})
    with pytest.raises(InfinityError, match="output"):
        preview(source.model_copy(update={"fields": {"output": "{open"}}))


@pytest.mark.parametrize(("content", "readable"), [("{", False), ("", False), ('{"x": 1}', True), (questions(1), True)])
def test_readable_is_true_if_a_record_could_be_parsed(tmp_path: Path, content: str, readable: bool) -> None:
    assert preview(make(tmp_path / "one", {"a.jsonl": content})).readable == readable


def test_a_field_whose_path_is_in_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"ask": "q", "meta": {"reply": "a"}}\n{"ask": "q2"}\n')
    fields = {"instruction": "ask", "output": "meta.reply", "system": "persona"}
    assert preview(Source(name="s", path=tmp_path, fields=fields)).unfound == {"system": "persona"}
