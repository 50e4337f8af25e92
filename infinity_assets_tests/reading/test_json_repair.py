"""Tests that a damaged element does not affect its neighbors and keeps its bytes."""

import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.reading.json_repair import Element, find_duplicate_keys, find_open_list, parse_lenient, recover
from infinity_assets_tests.properties import examples

REPAIRS = [
    ('{"a": 1,}', {"a": 1}, "trailing_comma"),
    ('{"a": [1, 2,\n], "b": ",]"}', {"a": [1, 2], "b": ",]"}, "trailing_comma"),
    ('{"a": 1},', {"a": 1}, "trailing_comma"),
    (r'{"a": "\d \' \u12"}', {"a": "\\d ' \\u12"}, "invalid_escape"),
    (r'{"a": "\d",}', {"a": "\\d"}, "trailing_comma+invalid_escape"),
    ('{"a":\0 "b\0c"}', {"a": "bc"}, "nul_bytes"),
    ("{'a': 'it\\'s', 'b': (1, None, True)}", {"a": "it's", "b": [1, None, True]}, "python_literal"),
    ("['q', \"it's\"]", ["q", "it's"], "python_literal"),
    ('{"a": "two\nlines\tand a tab"}', {"a": "two\nlines\tand a tab"}, "nonstandard_json"),
    ('{"a": -Infinity}', {"a": -math.inf}, "nonstandard_json"),
    ('{"a": "\\ud83d"}', {"a": "\ufffd"}, "nonstandard_json"),
]


@pytest.mark.parametrize(("text", "value", "repair"), REPAIRS)
def test_common_mistakes_are_repaired(text: str, value: object, repair: str) -> None:
    assert parse_lenient(text.encode()) == Element(text.encode(), value, repair)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "truncated_json"),
        ('{"a": "b', "truncated_json"),
        ('{"a": [1', "truncated_json"),
        ('{"a": fal', "truncated_json"),
        ('{"a": "b\\u12', "truncated_json"),
        ('{"a": "b"c"}', "malformed_json"),
        ('{"a": 1}}', "malformed_json"),
        ("{'a': 1}, {'a': 2}", "malformed_json"),
        ("{'a': open('x')}", "malformed_json"),
        ("hello", "malformed_json"),
    ],
)
def test_damage_is_an_error(text: str, error: str) -> None:
    element = parse_lenient(text.encode())
    assert (element.raw, element.value, element.error) == (text.encode(), None, error)
    assert element.message


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"instruction": TEXT, "input": TEXT, "output": st.lists(TEXT, max_size=2), "id": st.integers(0, 10**9)}
    ),
    min_size=3,
    max_size=8,
)


def test_missing_and_extra_commas_are_repaired() -> None:
    found = list(recover(b'{"a": 1} {"a": 2},, {"a": 3}, ]', listed=True))
    assert [(element.value, element.repair) for element in found] == [
        ({"a": 1}, "missing_comma"),
        ({"a": 2}, "trailing_comma"),
        ({"a": 3}, "trailing_comma"),
    ]


DAMAGES: dict[str, Callable[[str, int], str]] = {
    "no end": lambda text, place: text[:-1],
    "no beginning": lambda text, place: text[1:],
    "quote": lambda text, place: text[:place] + '"' + text[place:],
    "junk": lambda text, place: text[:place] + "\x01junk" + text[place:],
    "deleted": lambda text, place: text[:place] + (text[place + 3 :] or "}"),
    "replaced": lambda text, place: text[:place] + "\\" + text[place + 1 :],
    "no colon": lambda text, place: text.replace(":", "", 1),
    "two ends": lambda text, place: text + "}",
    "python": lambda text, place: repr(json.loads(text)),
    "line": lambda text, place: text.replace(": ", ":\n", 1),
    "nan": lambda text, place: text.replace('"id": ', '"id": NaN, "number": ', 1),
    "comma": lambda text, place: text[:-1] + ",}",
}
"""Damage to the text of an object, at a place between its brackets or at them."""


@pytest.mark.parametrize("separator", [", ", ",\n  ", ","])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@settings(max_examples=examples(40), deadline=None)
@given(records=RECORDS, which=st.integers(0, 7), place=st.integers(0, 10**6))
def test_one_damaged_element_affects_no_other(
    damage: Callable[[str, int], str], separator: str, records: list[dict], which: int, place: int
) -> None:
    which %= len(records)
    records = [{**record, "id": number} for number, record in enumerate(records)]
    pieces = [json.dumps(record, ensure_ascii=False) for record in records]
    pieces[which] = damage(pieces[which], 1 + place % (len(pieces[which]) - 2))
    found = list(recover((separator.join(pieces) + "]").encode(), listed=True))
    values = [element.value for element in found if not element.error]
    others = [record for number, record in enumerate(records) if number != which]
    assert [value for value in values if value in others] == others
    raw = b"".join(element.raw for element in found)
    expected = _bare(separator.join(pieces).encode())
    assert _bare(raw) in (expected, expected + b"]")  # the bracket after a damaged last element may belong to it
    assert len(found) <= len(records) + 2


def _bare(data: bytes) -> bytes:
    """Return the bytes without commas, spaces and line feeds."""
    return bytes(byte for byte in data if byte not in b", \n")


@given(records=RECORDS, cut=st.integers(1, 200), separator=st.sampled_from([", ", ",\n"]))
def test_the_end_of_a_truncated_list_is_one_element(records: list[dict], cut: int, separator: str) -> None:
    text = separator.join(map(json.dumps, records)) + "]"
    found = list(recover(text[:-cut].encode(), listed=True))
    whole = [element.value for element in found if not element.error]
    assert whole == records[: len(whole)]
    assert len(found) - len(whole) <= 1
    repairs = ("list_not_closed", "trailing_comma+list_not_closed", "trailing_comma")
    assert not found or found[-1].error or found[-1].repair in repairs


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('["q", "a"], ["q", oops], ["q", "b"], ["q", "c"]]', [["q", "a"], None, ["q", "b"], ["q", "c"]]),
        ('"one", "t"wo", "three", "four"]', ["one", None, "three", "four"]),
        ("{'a': 1}, {'a': 'it's'}, {'a': 2}]", [{"a": 1}, None, {"a": 2}]),
        ('{"a": 1}]\n[{"a": 2}, {"a": 3}]', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('{"a": 1}, "a": 2}, {"a": 3}]', [{"a": 1}, None, {"a": 3}]),
        ('{"a": 1"}, {"a": 2"}, {"a": 3"}]', [None, None, None]),
        ('{"a": 1}] and prose', [{"a": 1}, None]),
        ('{"x": {"y": oops}, "z": {"y": 1}}, {"x": 1, "z": 2}]', [None, {"x": 1, "z": 2}]),
    ],
)
def test_lists_of_any_shape_are_recovered(text: str, values: list) -> None:
    assert [element.value for element in recover(text.encode(), listed=True)] == values


def test_a_list_closed_early_is_a_repair() -> None:
    found = recover(b'{"a": 1}][{"a": 2}, {"a": 3}]', listed=True)
    assert [element.repair for element in found] == [None, "list_closed_early", None]


@given(st.binary(max_size=80) | st.text("[]{}\",:\\a1 \n'", max_size=80).map(str.encode), st.booleans())
def test_every_byte_is_in_an_element(data: bytes, listed: bool) -> None:
    found = list(recover(data, listed))
    ignored = re.compile(rb"[, \n\t\r\x0b\x0c\x1c-\x1f\[\]]")
    kept = b"".join(element.raw for element in found)
    assert ignored.sub(b"", kept) == ignored.sub(b"", data) or not data.isascii()
    assert all(element.error is None or element.value is None for element in found)


def test_a_duplicate_key_is_found_in_its_item() -> None:
    def alone(value: object) -> list:
        return [value]

    assert find_duplicate_keys(b'{"a": 1, "b": {"c": 1, "c": 2}}', alone) == {0}
    assert find_duplicate_keys(
        b'[{"a": 1}, {"a": 1, "a": 1}, {"b": [{"c": 1, "c": 2}]}]',
        lambda value: value if isinstance(value, list) else [],
    ) == {1, 2}
    assert find_duplicate_keys(b'{"a": {"b": 1}, "c": {"b": 1}}', alone) == set()
    found = recover(b'{"a": 1}, {"a": 1, "a": 2}, oops', listed=True)
    assert [element.repair for element in found][:2] == [None, "duplicate_keys"]


def test_the_damaged_list_in_a_document_is_found() -> None:
    found = find_open_list(b' {"version": 1, "n": [1, 2], "data": [{"a": oops}], "z": 1}')
    assert found
    assert (found.members, found.key, found.rest) == ({"version": 1, "n": [1, 2]}, "data", b'{"a": oops}], "z": 1}')
    assert find_open_list(b'{"a": {"b": oops}}') is None
    assert find_open_list(b"[1, oops]") is None
