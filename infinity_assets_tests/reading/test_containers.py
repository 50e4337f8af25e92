"""Tests that damaged, misnamed and compressed files are read, with an error record for every unreadable one."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from infinity_assets.reading.containers import CONTAINERS, Record, as_json, base
from infinity_assets_tests.properties import examples
from infinity_assets_tests.reading.in_memory import read_records


class Expected(NamedTuple):
    """A record that is expected at a position, by default that of its index."""

    value: object
    repair: str | None = None
    error: str | None = None
    at: int | None = None


def mended(value: object, repair: str) -> Expected:
    return Expected(value, repair)


def bad(error: str, at: int | None = None) -> Expected:
    return Expected(None, error=error, at=at)


TABLE = [
    # name, content, records: the values of sound ones, each at the position of its index
    ("list.json", '[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ("empty list.json", "[]", []),
    ("nothing.json", " \n ", []),
    ("bom.json", '\ufeff[{"a": 1}]', [{"a": 1}]),
    ("wrapped.json", '{"canary": "x", "examples": [{"a": 1}]}', [{"a": 1}]),
    ("wrapped.json", '{"data":\n [{"a": 1}], "version": [1]}', [{"a": 1}]),
    ("one record.json", '{"messages": [{"role": "user"}]}', [{"messages": [{"role": "user"}]}]),
    ("two lists.json", '{"data": [{}], "train": [{}]}', [{"data": [{}], "train": [{}]}]),
    ("lines.json", '{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    ("list of lists per line.jsonl", '["q", "a"]\n["r", "b"]\n', [["q", "a"], ["r", "b"]]),
    ("list.jsonl", '[\n{"a": 1},\n{"a": 2}\n]', [{"a": 1}, {"a": 2}]),
    ("an element a line.json", '[{"a": 1},\n{"a": 2,},\n{"a": 3}]', [{"a": 1}, mended({"a": 2}, "trailing_comma"), {"a": 3}]),
    ("blank lines.jsonl", '\n{"a": 1}\n\n\n{"a": 2}', [Expected({"a": 1}, at=1), Expected({"a": 2}, at=4)]),
    ("windows.jsonl", '{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
    ("separators in strings.jsonl", '{"a": "x\u2028y\x85z"}\n{}', [{"a": "x\u2028y\x85z"}, {}]),
    ("comma at end.json", '[{"a": 1}, {"a": 2},\n]', [{"a": 1}, mended({"a": 2}, "trailing_comma")]),
    ("comma inside.json", '[{"a": 1,}, {"a": ",]"}]', [mended({"a": 1}, "trailing_comma"), {"a": ",]"}]),
    ("comma.jsonl", '{"a": 1},\n{"a": [2,]}', [mended({"a": 1}, "trailing_comma"), mended({"a": [2]}, "trailing_comma")]),
    ("object with comma.json", '{"data": [{"a": 1}, {"a": 2},]}', [{"a": 1}, mended({"a": 2}, "trailing_comma")]),
    ("nan.jsonl", '{"a": Infinity}\n{"a": 1}', [mended({"a": float("inf")}, "nonstandard_json"), {"a": 1}]),
    ("surrogate.jsonl", '{"a": "\\ud800"}', [mended({"a": "\ufffd"}, "nonstandard_json")]),
    ("cut.json", '[{"a": 1}, {"a": ', [{"a": 1}, bad("truncated_json")]),
    ("cut between.json", '[{"a": 1}', [mended({"a": 1}, "list_not_closed")]),
    ("bad.json", '[{"a": 1}, {a: 2}, {"a": 3}]', [{"a": 1}, bad("malformed_json"), {"a": 3}]),
    ("tail.json", '[{"a": 1}] tail', [{"a": 1}, bad("malformed_json")]),
    ("cut.jsonl", '{"a": 1}\n{"a": "b', [{"a": 1}, bad("truncated_json")]),
    ("cut literal.jsonl", '{"a": 1}\n{"a": tru', [{"a": 1}, bad("truncated_json")]),
    ("cut before the end.jsonl", '{"a": \n{"a": 1}', [bad("malformed_json"), {"a": 1}]),
    ("bad escape.jsonl", '{"a": 1}\n{"a": "\\d and more"}', [{"a": 1}, mended({"a": "\\d and more"}, "invalid_escape")]),
    ("prose.json", "hello", [bad("malformed_json")]),
    ("deep.json", "[" * 5000, [bad("malformed_json")]),
    ("deep.jsonl", '{"a": 1}\n' + '{"a":' * 5000, [{"a": 1}, bad("malformed_json")]),
    ("rows.csv", 'q,a\nhi,"two\nlines"\n\nx,\n', [{"q": "hi", "a": "two\nlines"}, {"q": "x", "a": ""}]),
    ("long cell.csv", "q\n" + "x" * 200_000, [{"q": "x" * 200_000}]),
    ("open quote.csv", 'q,a\nhi,yes\n"hi,yes\nhi,no\n',
     [{"q": "hi", "a": "yes"}, mended({"q": '"hi', "a": "yes"}, "unbalanced_quote"), {"q": "hi", "a": "no"}]),
    ("open quote in the header.csv", 'q,"a\nhi,yes\n', [bad("malformed_csv_row")]),
    ("short row.csv", "q,c,a\nhi,yes\nhi,,yes", [bad("malformed_csv_row"), {"q": "hi", "c": "", "a": "yes"}]),
    ("numbers.csv", "q,a\nhi,48.0\n4.0 and,-3.50", [{"q": "hi", "a": "48"}, {"q": "4.0 and", "a": "-3.50"}]),
    ("header.csv", "q,a\n", []),
    ("empty.csv", "", []),
    ("unquoted comma.csv", "q,a\nhi,yes, sir\n", [bad("malformed_csv_row")]),
    ("list.yaml", "- a: Yes\n- a: 1\n- a:", [{"a": "Yes"}, {"a": "1"}, {"a": None}]),
    ("dialogues.yml", "categories: [x]\nconversations:\n- - q\n  - a\n", [["q", "a"]]),
    ("bad.yaml", "a: [", [bad("unreadable_file")]),
    ("deep.yaml", "[" * 100_000, [bad("unreadable_file")]),
    ("semicolons.csv", "q;a\nhi, you;yes\n", [{"q": "hi, you", "a": "yes"}]),
    ("bars.csv", 'q|a\n"hi|you"|yes\n', [{"q": "hi|you", "a": "yes"}]),
    ("tabs.csv", "q\ta\nhi, you\tyes\n", [{"q": "hi, you", "a": "yes"}]),
    ("tabs.tsv", 'q\ta\n"hi\nyou"\tyes, sir\n', [{"q": "hi\nyou", "a": "yes, sir"}]),
    ("no header.csv", f"hi,{'x' * 61}\n", [{"column_0": "hi", "column_1": "x" * 61}]),
    ("question.csv", "What is 1+1?,2\n", [{"column_0": "What is 1+1?", "column_1": "2"}]),
    ("sentence.csv", "Paris is big.,yes\n", [{"column_0": "Paris is big.", "column_1": "yes"}]),
    ("number.csv", "hi,2.5\n", [{"column_0": "hi", "column_1": "2.5"}]),
    ("prose.csv", "five words are no name,yes\n", [{"column_0": "five words are no name", "column_1": "yes"}]),
    ("empty name.csv", "a,,b\n", [{"column_0": "a", "column_1": "", "column_2": "b"}]),
    ("index.csv", ",q,a\n0,hi,yes\n", [{"": "0", "q": "hi", "a": "yes"}]),
    ("double name.csv", "q,a,a\nhi,yes,yes\n", [{"q": "hi", "a": "yes", "a_2": None}]),
    ("separator.csv", "sep=;\r\nq;a\r\nhi, a, b;yes\r\n", [{"q": "hi, a, b", "a": "yes"}]),
    ("tabs.tab", "q\ta\nhi, you\tyes\n", [{"q": "hi, you", "a": "yes"}]),
    ("one line.jsonl", '{"data": [{"a": 1}]}\n', [{"data": [{"a": 1}]}]),
    ("one line.jl", '{"data": [{"a": 1}]}', [{"data": [{"a": 1}]}]),
    ("one line.json", '{"data": [{"a": 1}]}', [{"a": 1}]),
    ("list.jsonlines", '[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ("bom.csv", "\ufeffq,a\r\nhi,yes\r\n", [{"q": "hi", "a": "yes"}]),
    ("nul.csv", "q,a\nh\0i,yes\n", [mended({"q": "hi", "a": "yes"}, "nul_bytes")]),
    ("carriage returns.csv", "q,a\rhi,yes\rx,y", [{"q": "hi", "a": "yes"}, {"q": "x", "a": "y"}]),
    ("open quotes.csv", 'q,a\n"hi,yes\n"hi,no\n"x","y"\n',
     [mended({"q": '"hi', "a": "yes"}, "unbalanced_quote"), mended({"q": '"hi', "a": "no"}, "unbalanced_quote"), {"q": "x", "a": "y"}]),
    ("documents.yaml", "a: 1\n---\n- b: 2\n- b: 3\n", [{"a": "1"}, {"b": "2"}, {"b": "3"}]),
    ("double.yaml", "- a: 1\n- a: 1\n  a: 2\n", [{"a": "1"}, mended({"a": "2"}, "duplicate_keys")]),
    ("bad element.yaml", "- a: 1\n- a: [\n- a: 3\n---\n- a: 4\n", [{"a": "1"}, bad("malformed_yaml"), {"a": "3"}, {"a": "4"}]),
    ("pretty.jsonl", '{\n "a": 1\n}\n{\n "a": {\n  "b": []\n }\n}\n', [{"a": 1}, {"a": {"b": []}}]),
    ("several on a line.jsonl", '{"a": 0}\n{"a": 1} {"a": 2}\n', [{"a": 0}, {"a": 1}, Expected({"a": 2}, at=1)]),
    ("junk.jsonl", '{"a": 0}\n{"a": 1}}\n', [{"a": 0}, {"a": 1}, bad("malformed_json", at=1)]),
    ("broken.jsonl", '{"a": 0}\n{"a":\n 1}\n{"a": 2}', [{"a": 0}, mended({"a": 1}, "line_break_in_record"), Expected({"a": 2}, at=3)]),
    ("all damaged.jsonl", '{"a": "x"y"}\n{"a": "z"\n{"a": ', [bad("malformed_json"), bad("malformed_json"), bad("truncated_json")]),
    ("double.jsonl", '{"a": 1, "a": 2}\n{"b": {"c": 1, "c": 2}}',
     [mended({"a": 2}, "duplicate_keys"), mended({"b": {"c": 2}}, "duplicate_keys")]),
    ("double.json", '[{"a": 1}, {"b": [{"c": 1, "c": 2}]}]', [{"a": 1}, mended({"b": [{"c": 2}]}, "duplicate_keys")]),
    ("double in.json", '{"data": [{"a": 1}, {"a": 1, "a": 2}]}', [{"a": 1}, mended({"a": 2}, "duplicate_keys")]),
    ("bad element in a document.json", '{"version": "1", "data": [{"a": 1}, {"a": oops}, {"a": 3}], "z": [1]}',
     [{"a": 1}, bad("malformed_json"), {"a": 3}]),
    ("a document that was cut off.json", '{"system_prompt": "s", "data": [{"a": 1}, {"a": "b',
     [{"system_prompt": "s", "a": 1}, bad("truncated_json")]),
    ("python list.json", "[{'a': 1}, {'a': 'x'y'}]", [mended({"a": 1}, "python_literal"), bad("malformed_json")]),
    ("scalars.json", '["one", "two"]', ["one", "two"]),
    ("prose.txt", "one\nline\n\n \n\ntwo\r\n\r\nthree", ["one\nline", "two", "three"]),
]  # fmt: skip


def read(folder: Path, name: str, data: bytes) -> list[Record]:
    path = folder / name
    path.write_bytes(data)
    return read_records(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"), TABLE, ids=[f"{name}: {content[:20]!r}" for name, content, _ in TABLE]
)
def test_records_of_each_container(tmp_path: Path, name: str, content: str, expected: list) -> None:
    records = read(tmp_path, name, content.encode())
    each = [one if isinstance(one, Expected) else Expected(one) for one in expected]
    assert [(record.position, record.value, record.repair, record.error) for record in records] == [
        (index if one.at is None else one.at, one.value, one.repair, one.error) for index, one in enumerate(each)
    ]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".yaml", ".txt"])
def test_bytes_that_are_not_utf8_are_repaired_in_their_record(tmp_path: Path, suffix: str) -> None:
    content = {
        ".json": b'[{"a": "x"}, {"a": "n\xe4h"}]',
        ".jsonl": b'{"a": "x"}\n{"a": "n\xe4h"}',
        ".csv": b"a\nx\nn\xe4h",
        ".yaml": b"- a: x\n- a: n\xe4h",
        ".txt": b"x\n\nn\xe4h",
    }
    records = read(tmp_path, f"a{suffix}", content[suffix])
    assert [record.repair for record in records] == [None, "decoded_windows_1252"]
    assert "näh" in str(records[1].value)


def test_an_error_quotes_the_file_and_the_parser(tmp_path: Path) -> None:
    _, record = read(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": oh}\n')
    assert record.raw == b'{"a": oh}'
    assert "Expecting value" in str(record.message)


LINES = b"".join(b'{"number": %d}\n' % number for number in range(5000))


def test_a_window_of_128_mib_is_read(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert len(read(tmp_path, "a.jsonl.zst", packer.compress(LINES) + packer.flush())) == 5000


def test_a_suffix_of_a_compression_on_other_content(tmp_path: Path) -> None:
    for suffix in (".gz", ".zst", ".bz2", ".xz"):
        for garbage in (b"\x03\x81\xfe", b"a\0b", b"\x01\x02"):
            (record,) = read(tmp_path, f"a.jsonl{suffix}", garbage)
            assert (record.position, record.error) == (0, "unreadable_file")
        assert [record.value for record in read(tmp_path, f"a.csv{suffix}", "q,a\nhé,yes\n".encode())] == [
            {"q": "hé", "a": "yes"}
        ]
        assert len(read(tmp_path, f"a.jsonl{suffix}", LINES)) == 5000


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


@pytest.mark.parametrize(
    ("name", "content", "part_of_message"),
    [
        ("a.json", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML"),
        ("a.jsonl", b"\n <html lang='en'>", "HTML"),
        *((f"a.{suffix}", LFS_POINTER, "git-lfs") for suffix in ("jsonl", "parquet")),
    ],
)
def test_an_html_page_or_git_lfs_pointer_is_named_in_the_error(
    tmp_path: Path, name: str, content: bytes, part_of_message: str
) -> None:
    (record,) = read(tmp_path, name, content)
    assert record.error == "unreadable_file"
    assert part_of_message in (record.message or "")


NAMES = [f"fuzz{suffix}{packed}" for suffix in CONTAINERS for packed in ("", ".gz", ".zst")]
FUZZ = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@FUZZ
@given(
    name=st.sampled_from(NAMES), data=st.binary(max_size=200) | st.text('[]{}",:\\-aq1 \n\ufeff\x00').map(str.encode)
)
def test_any_bytes_give_records_and_no_exception(tmp_path: Path, name: str, data: bytes) -> None:
    records = read(tmp_path, name, data)
    assert [record.position for record in records] == sorted(record.position for record in records)
    assert all(record.error is None or record.raw is not None for record in records)


@FUZZ
@given(lines=st.lists(JSON.map(json.dumps) | st.text('{}[]",:a \\', min_size=1), min_size=1), data=st.data())
def test_each_non_blank_line_is_in_one_record(tmp_path: Path, lines: list[str], data: st.DataObject) -> None:
    lines = ['{"a": 1}', '{"b": 2}', *lines]  # two objects make it JSON Lines regardless of the other lines
    records = read(tmp_path, "a.jsonl", "\n".join(lines).encode())
    raw = {record.position: record.raw or b"" for record in records}  # several records on one line all have its bytes
    read_lines = [line for piece in raw.values() for line in piece.decode().split("\n")]
    assert read_lines == [line for line in lines if line.strip()]
    alone = [record for record in records if record.repair != "line_break_in_record"]
    assert all(lines[record.position].encode() == record.raw for record in alone)


@FUZZ
@given(
    values=st.lists(
        st.fixed_dictionaries({"a": JSON.filter(lambda value: not re.search("NaN|Infinity", json.dumps(value)))})
    ),
    cut=st.integers(0, 200),
)
def test_a_truncated_list_keeps_its_complete_elements(tmp_path: Path, values: list, cut: int) -> None:
    text = json.dumps(values)
    kept = text[: max(1, len(text) - cut)]
    records = read(tmp_path, "a.json", kept.encode())
    whole = [record for record in records if not record.error]
    assert len(records) - len(whole) <= (kept != text)
    assert [json.dumps(record.value) for record in whole] == [
        json.dumps(_standard(value)) for value in values[: len(whole)]
    ]


def _standard(value: object) -> object:
    """Return the value as the reader returns it from JSON: integers beyond 64 bits become floats."""
    if isinstance(value, dict):
        return {_standard(key): _standard(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_standard(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return float(value)
    return value


@pytest.mark.parametrize("depth", [100, 300, 900])
def test_deep_nesting_affects_no_other_record(tmp_path: Path, depth: int) -> None:
    """The parser allows deeper nesting than the writer, and both more than Python's stack."""
    deep = '{"a":' * depth + '{"b": 1, "b": 2}' + "}" * depth
    for name, content in (
        ("a.jsonl", f'{{"c": 1}}\n{deep}\n{{"c": 2}}'),
        ("a.json", f'[{{"c": 1}}, {deep}, {{"c": 2}}]'),
    ):
        first, _, last = read(tmp_path, name, content.encode())
        assert (first.value, first.error, last.value, last.error) == ({"c": 1}, None, {"c": 2}, None)


TEXTS = st.lists(st.text('ab"\\,[]{}\n ', max_size=6), max_size=2)
ITEM = st.fixed_dictionaries({"q": st.text(max_size=12), "a": TEXTS, "n": st.integers(0, 9)})
BREAKS = ["", '"', "\x01", "{", "}", "]", "[", ","]


def _csv(items: list[dict], broken: str) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["q", "a", "n"])
    for item in items:
        writer.writerow([re.sub("[\0\r]", "", item["q"]), json.dumps(item["a"]), item["n"]])
    return sink.getvalue() + (f"{broken}x,y,z\n" if broken else "")


WRITERS: dict[str, Callable[[list[dict], str], str]] = {
    "a.jsonl": lambda items, broken: "\n".join(map(json.dumps, items)) + (f"\n{{{broken}\n" if broken else ""),
    "a.json": lambda items, broken: json.dumps(items, indent=1 if len(items) % 2 else None),
    "b.json": lambda items, broken: (
        "[" + ",\n".join([*map(json.dumps, items), f'{{"q": {broken}}}', *map(json.dumps, items)]) + "]"
    ),
    "a.csv": _csv,
    "a.txt": lambda items, broken: "\n\n".join(f"{broken} {item['a']} {item['n']}" for item in items),
}


@pytest.mark.parametrize("block", [1, 7, 40])
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(ITEM, min_size=1, max_size=12), broken=st.sampled_from(BREAKS))
def test_the_block_size_does_not_change_the_records(
    tmp_path: Path, name: str, block: int, items: list[dict], broken: str
) -> None:
    """Positions after damage in a list may differ, and a transcript is recognized only in one block."""
    data = WRITERS[name](items, broken).encode()
    whole = read(tmp_path, name, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "BLOCK", block)
        parts = read(tmp_path, name, data)
    assert [record.value for record in parts if not record.error] == [
        record.value for record in whole if not record.error
    ]
    if not any(record.error for record in whole):
        assert [(record.position, record.repair) for record in parts] == [
            (record.position, record.repair) for record in whole
        ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt"])
@pytest.mark.parametrize("opening", ["", "[", '[{"a": "', '{"a": "', 'a,b\n"', '["a", '])
def test_a_record_without_an_end_is_cut_at_the_maximum_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, opening: str
) -> None:
    monkeypatch.setattr(base, "BLOCK", 10)
    monkeypatch.setattr(base, "MAX_BLOCK", 50)
    words = [f"w{number:04}" for number in range(100)]
    records = read(tmp_path, name, (opening + " ".join(words)).encode())
    kept = b" ".join(record.raw or as_json(record.value) for record in records).decode()
    assert all(word in kept for word in words[1:-1:10])


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_parquet_and_arrow_are_read(tmp_path: Path, kind: str) -> None:
    plain = {"m": [{"role": "user", "content": None}], "raw": b"\xff", "n": None}
    rows = [{"q": f"q{n}", "when": datetime(2024, 1, 1, n % 24), **plain} for n in range(12_000)]
    table = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, sink, row_group_size=1000)
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, table.schema) as writer:
            writer.write_table(table, 1000)
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    records = read(tmp_path, name, sink.getvalue())
    assert [record.position for record in records] == list(range(12_000))
    assert [record.value for record in records] == [row | {"when": row["when"].isoformat()} for row in rows]
    packed = read(tmp_path, f"{name}.gz", gzip.compress(sink.getvalue()))
    assert packed == records
    *_, last = read(tmp_path, name, sink.getvalue()[: len(sink.getvalue()) // 2])
    assert last.error == "unreadable_file"


def test_arrow_values_become_json_values(tmp_path: Path) -> None:
    columns = {
        "binary": pa.array([b"caf\xc3\xa9", None]),
        "large": pa.array([b"\xff", b"x"], pa.large_binary()),
        "date": pa.array([date(2024, 2, 29), None]),
        "time": pa.array([time(1, 2, 3), None]),
        "nanoseconds": pa.array([1, None], pa.timestamp("ns", "UTC")),
        "since": pa.array([1, None], pa.time64("ns")),
        "lasting": pa.array([1_000_000_001, None], pa.duration("ns")),
        "decimal": pa.array([Decimal("1.50"), None]),
        "map": pa.array([[("a", b"1")], None], pa.map_(pa.string(), pa.binary())),
        "list": pa.array([[{"when": date(2024, 1, 1), "n": 1}, None], None]),
        "category": pa.array([b"x", None]).dictionary_encode(),
        "plain": pa.array(["x", None]),
    }
    sink = io.BytesIO()
    feather.write_feather(pa.table(columns), sink)
    first, second = read(tmp_path, "a.feather", sink.getvalue())
    assert first.value == {
        "binary": "café",
        "large": b"\xff",
        "date": "2024-02-29",
        "time": "01:02:03",
        "nanoseconds": "1970-01-01T00:00:00+00:00",
        "since": "00:00:00",
        "lasting": "0:00:01",
        "decimal": "1.50",
        "map": {"a": "1"},
        "list": [{"when": "2024-01-01", "n": 1}, None],
        "category": "x",
        "plain": "x",
    }
    assert second.value == dict.fromkeys(columns) | {"large": "x"}


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), zeros=st.integers(1, 40), kind=st.sampled_from(["file", "stream"]))
def test_a_damaged_arrow_file_does_not_crash_the_process(tmp_path: Path, share: float, zeros: int, kind: str) -> None:
    table = pa.Table.from_pylist([{"q": f"q{number}", "m": [{"role": "user"}] * (number % 3)} for number in range(100)])
    sink = io.BytesIO()
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table, 30)
    data = bytearray(sink.getvalue())
    place = int(share * len(data))
    data[place : place + zeros] = b"\xff" * len(data[place : place + zeros])
    records = read(tmp_path, "a.arrow", bytes(data))
    assert len(records) == 100 or any(record.error for record in records)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.yaml"])
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 400))
def test_an_incomplete_last_record_is_dropped(tmp_path: Path, name: str, cut: int) -> None:
    """The last value before the end of a truncated compressed file may be incomplete."""
    contents = {
        "a.jsonl": "".join(f'{{"a": "some text {number}"}}\n' for number in range(40)),
        "a.json": json.dumps([{"a": f"some text {number}"} for number in range(40)]),
        "a.csv": "a,b\n" + "".join(f"some text {number},b{number}\n" for number in range(40)),
        "a.txt": "\n\n".join(f"some text {number}" for number in range(40)),
        "a.yaml": "".join(f"- a: some text {number}\n" for number in range(40)),
    }
    packed = gzip.compress(contents[name].encode(), 0)[: -8 - cut]  # stored: cut where the text is cut
    whole = [record.value for record in read(tmp_path, name, contents[name].encode())]
    *complete, last = read(tmp_path, f"{name}.gz", packed)
    assert last.error == "unreadable_file"
    assert [record.value for record in complete] == whole[: len(complete)]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ("yes,no,", ("yes", "no", "")),
        (",no,", ("no", None, "")),
        (",,no", ("no", None, None)),
        ("yes,,no", ("yes", "", "no")),
        ("yes,yes,no", ("yes", None, "no")),
    ],
)
def test_columns_of_one_name_that_differ_are_a_repair(
    tmp_path: Path, cells: str, values: tuple[str | None, ...]
) -> None:
    (record,) = read(tmp_path, "d.csv", f"q,a,a,a\nhi,{cells}\n".encode())
    assert record.repair == "duplicate_columns"
    assert isinstance(record.value, dict)
    assert tuple(record.value[name] for name in ("a", "a_2", "a_3")) == values


def test_columns_of_one_name_in_a_table_are_all_read(tmp_path: Path) -> None:
    table = pa.table([["hi", "ho"], ["yes", "so"], ["yes", "no"]], names=["q", "a", "a"])
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    first, second = read(tmp_path, "d.parquet", buffer.getvalue())
    assert (first.value, first.repair) == ({"q": "hi", "a": "yes", "a_2": None}, None)
    assert (second.value, second.repair) == ({"q": "ho", "a": "so", "a_2": "no"}, "duplicate_columns")
