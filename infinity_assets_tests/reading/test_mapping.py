"""Tests of `fields` and `keep` of a source.yaml: a path without a value is allowed, an invalid line is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.reading.layouts import Parsed, parse
from infinity_assets.reading.mapping import FieldMapping

RECORD = {"title": "t", "meta": {"reply": ["a", "b"], "votes": 3, "none": None}, "a.b": "dotted", "body": "{x}"}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("title", "t"),
        ("meta.reply.0", "a"),
        ("meta.reply.-1", "b"),
        ("meta.votes", 3),
        ("meta.none", None),
        ("a.b", "dotted"),
        ("{title}: {body}", "t: {x}"),
        ("{{{meta.reply.1}}} {meta.votes} {meta.reply}", '{b} 3 ["a", "b"]'),
    ],
)
def test_a_field_is_a_path_or_a_template(spec: str, value: object) -> None:
    assert FieldMapping({"text": spec})(RECORD) == {"text": value}


@pytest.mark.parametrize(
    "spec", ["nothing", "meta.reply.2", "meta.reply.x", "title.0", "{title}: {nothing}", "{meta.none}"]
)
def test_a_field_without_a_value_is_left_out(spec: str) -> None:
    assert FieldMapping({"instruction": "title", "output": spec})(RECORD) == {"instruction": "t"}


@pytest.mark.parametrize(
    ("record", "fields", "texts"),
    [
        ({"instruction": "Sum up.", "title": "t", "body": "b", "output": "o"}, {"input": "{title}: {body}"}, ["Sum up.\n\nt: b", "o"]),
        ({"question": "q", "title": "t", "body": "b", "answer": "o"}, {"input": "{title}: {body}"}, ["t: b\n\nq", "o"]),
        ({"question": "q", "answer": "short", "why": "long"}, {"output": "why"}, ["q", "long"]),
        ({"task": "q", "output": "o", "input": "i"}, {"instruction": "task"}, ["q\n\ni", "o"]),
        ({"task": "q", "says": "o", "input": "i"}, {"instruction": "task", "output": "says"}, ["q\n\ni", "o"]),
        ({"task": "q", "says": "o", "messages": []}, {"instruction": "task", "output": "says"}, ["q", "o"]),
        ({"prompt": "q", "completion": "o", "persona": "s"}, {"system": "persona"}, ["s", "q", "o"]),
        ({"prompt": "q", "chosen": "o", "better": "b"}, {"output": "better"}, ["q", "b"]),
        ({"question": "q", "choices": ["x", "y"], "key": 1}, {"answer": "key"}, ["q\n\nA. x\nB. y", "B. y"]),
    ],
)  # fmt: skip
def test_a_mapped_field_overlays_the_layout(record: dict, fields: dict[str, str], texts: list[str]) -> None:
    outcome = parse(FieldMapping(fields)(record))[0]
    assert isinstance(outcome, Parsed)
    assert [message["content"] for message in outcome.messages] == texts


def test_facts_keep_their_meaning_beside_a_mapped_conversation() -> None:
    record = {"ask": "q", "meta": {"reply": "a"}, "is_correct": False, "options": ["x", "y"]}
    mapped = FieldMapping({"instruction": "ask", "output": "meta.reply"})(record)
    assert mapped == {"instruction": "q", "output": "a", "is_correct": False}


def test_without_fields_the_record_is_unchanged() -> None:
    assert FieldMapping({})(RECORD) is RECORD


def test_a_path_can_begin_with_a_list_index() -> None:
    assert FieldMapping({"question": "0", "answer": "1"})(["q", "a"]) == {"question": "q", "answer": "a"}


def test_kept_values_are_returned_by_path() -> None:
    mapping = FieldMapping({}, ("meta.votes", "nothing", "title"))
    assert mapping.annotations_of(RECORD) == {"meta.votes": 3, "title": "t"}


@pytest.mark.parametrize("spec", ["", "a..b", "{title", "title}", "{}", "{title:>10}", "{title!r}"])
def test_an_invalid_line_is_an_error(spec: str) -> None:
    with pytest.raises(InfinityError, match="output"):
        FieldMapping({"output": spec})


@given(
    record=st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from("ab0"), x),
    )
)
def test_any_record_can_be_mapped(record: object) -> None:
    mapping = FieldMapping({"x": "a.0", "y": "{a}-{b.a}"}, ["0.a"])
    mapped = mapping(record)
    assert isinstance(mapped, dict)
    assert mapped.keys() <= {"x", "y", *(record if isinstance(record, dict) else ())}
    assert mapping.annotations_of(record).keys() <= {"0.a"}
