import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.rules import first_failure
from infinity_assets.synthesis.answers import rules

LINE = {
    "row_id": "r",
    "text": "Bread and Butter would do.",
    "request": "Suggest a name for the bakery.",
    "finish_reason": "stop",
    "error": None,
}
TABLE = [
    ({}, None),
    ({"text": "4"}, None),
    ({"text": None, "error": "timeout"}, "no_answer"),
    ({"text": "\n "}, "no_answer"),
    ({"finish_reason": "length"}, "truncated"),
    ({"text": "[INST] Bread"}, "template_debris"),
    ({"text": "I'm sorry, but I can do nothing."}, "shirking"),
    ({"text": "请提供更多信息。", "request": "给面包店起个名字。"}, "shirking"),
    ({"text": "The bread is good. " * 5}, "loop"),
    ({"text": "The bread is good. " * 3}, None),
    ({"text": "这家店叫面包与黄油。"}, "wrong_language"),
    ({"text": "The name of the shop is Bread.", "request": "给面包店起个名字。"}, "wrong_language"),
    ({"text": "Der Name ist nicht das, was ich will."}, None),  # small words alone are no proof
]


def reasons(line: dict) -> list[str]:
    frame = pl.DataFrame([{**LINE, **line}], schema=dict.fromkeys(LINE, pl.String))
    return first_failure(frame, rules())["reason"].to_list()


@pytest.mark.parametrize(("changed", "reason"), TABLE)
def test_rules(changed: dict, reason: str | None) -> None:
    assert reasons(changed) == ([reason] if reason else [])


def test_every_rule_is_tried_above() -> None:
    assert {rule.reason for rule in rules()} == {reason for _, reason in TABLE if reason}


@settings(max_examples=15, deadline=None)
@given(words=st.lists(st.text("abcdefgh", min_size=4, max_size=6), min_size=1, max_size=8, unique=True), times=st.integers(1, 12))
def test_a_loop_is_what_says_little_often(words: list[str], times: int) -> None:
    assert reasons({"text": ". ".join(words * times)}) == (["loop"] if times > 4 else [])
