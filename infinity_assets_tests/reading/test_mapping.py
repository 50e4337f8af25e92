"""`fields` and `keep` of a source.yaml: a path that leads nowhere is no error, a line that cannot be meant is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.reading.mapping import FieldMapping

RECORD = {"title": "t", "meta": {"reply": ["a", "b"], "votes": 3, "none": None}, "a.b": "dotted", "body": "{x}"}


@pytest.mark.parametrize(
    ("said", "value"),
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
def test_a_field_is_a_path_or_a_template(said: str, value: object) -> None:
    assert FieldMapping({"output": said})(RECORD) == {"output": value}


@pytest.mark.parametrize(
    "said", ["nothing", "meta.reply.2", "meta.reply.x", "title.0", "{title}: {nothing}", "{meta.none}"]
)
def test_what_is_not_there_is_left_out(said: str) -> None:
    assert FieldMapping({"instruction": "title", "output": said})(RECORD) == {"instruction": "t"}


def test_without_fields_the_record_stays() -> None:
    assert FieldMapping({})(RECORD) is RECORD


def test_a_list_has_paths_as_well() -> None:
    assert FieldMapping({"question": "0", "answer": "1"})(["q", "a"]) == {"question": "q", "answer": "a"}


def test_kept_by_path() -> None:
    assert FieldMapping({}, ("meta.votes", "nothing", "title")).kept(RECORD) == {"meta.votes": 3, "title": "t"}


@pytest.mark.parametrize("said", ["", "a..b", "{title", "title}", "{}", "{title:>10}", "{title!r}"])
def test_a_line_that_cannot_be_meant(said: str) -> None:
    with pytest.raises(InfinityError, match="output"):
        FieldMapping({"output": said})


@given(
    record=st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from("ab0"), x),
    )
)
def test_no_record_is_too_odd(record: object) -> None:
    mapping = FieldMapping({"x": "a.0", "y": "{a}-{b.a}"}, ["0.a"])
    mapped = mapping(record)
    assert isinstance(mapped, dict)
    assert mapped.keys() <= {"x", "y"}
    assert mapping.kept(record).keys() <= {"0.a"}
