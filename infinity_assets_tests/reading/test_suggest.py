"""Tests that the suggested lines, used unchanged, make the records fit."""

import pytest
import yaml

from infinity_assets.reading.layouts import Parsed, parse
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.suggest import GUESSED, MAX_CHARS, TEMPLATE, shape, suggest_lines
from infinity_assets.rows.grammar import Rejected

JUDGED = {"task": "a question", "sol_a": "first answer", "sol_b": "second answer", "label": 0}
LONG = "a long answer " * 10


def test_a_shape_lists_keys_and_types() -> None:
    meta = {"reply": ["a"], "n": 1.5, "ok": True, "none": None}
    value = {"title": "x", "meta": meta, "empty": [], "turns": [{"a": {"b": {"c": 1}}}]}
    inner = "{reply: list of text, n: number, ok: truth value, none: null}"
    assert shape(value) == f"{{title: text, meta: {inner}, empty: list, turns: list of {{a: {{…}}}}}}"
    assert shape("x") == "text"
    assert len(shape({str(key) * 30: 1 for key in range(100)})) == MAX_CHARS


@pytest.mark.parametrize(
    ("record", "contents"),
    [
        ({"title": "two words", "body": "no more", "id": "x1"}, ["two words", "no more"]),
        ({"data": {"ask": "a question"}, "meta": {"reply": ["an answer", "other"]}}, ["a question", "an answer"]),
        ({"src text": "guten Tag", "tgt text": "good day", "score": 1}, ["guten Tag", "good day"]),
        ({"x": "the first text", "y": LONG, "hash": "abc"}, ["the first text", LONG.strip()]),
        ({"my conversation": [{"who": "x"}], "id": 1}, None),
        ({"ask me": "a b", "the reply: now": "c d"}, ["a b", "c d"]),
        ({"remark": "a single text"}, ["a single text"]),
    ],
)
def test_the_suggested_lines_make_a_record_fit(record: dict, contents: list[str] | None) -> None:
    assert parse(record)[0] == Rejected("unknown_layout", shape(record))
    assert suggest_lines([record, record]).startswith(GUESSED)
    lines = yaml.safe_load(suggest_lines([record, record]))
    outcome = parse(FieldMapping(lines["fields"])(record), lines["layout"])[0]
    if contents is None:  # the turns are found, but not who speaks
        assert lines == {"layout": "openai", "fields": {"messages": "my conversation"}}
    else:
        assert isinstance(outcome, Parsed)
        assert [message["content"] for message in outcome.messages] == contents


@pytest.mark.parametrize("values", [[], [1, "x"], [{"id": 1}], [{"id": "x7"}], [JUDGED], [JUDGED | {"prompt": "a b"}]])
def test_without_a_clue_the_suggestion_is_a_form_to_fill_in(values: list) -> None:
    assert suggest_lines(values) == TEMPLATE
    assert yaml.safe_load(TEMPLATE) is None
