"""One rewrite per rule, and what must pass: a rule that takes good rewrites costs as much as one that lets bad ones through."""

import polars as pl
import pytest

from infinity_assets.selection.rules import first_failure
from infinity_assets.settings import Evolution
from infinity_assets.synthesis.elimination import asks, rules

SEED = "Suggest a name for a bakery."
GOOD = "Suggest a name for a bakery that bakes without wheat."
LINE = {
    "row_id": "r", "text": GOOD, "seed": SEED, "similarity": 0.8, "seed_answer_similarity": 0.2, "finish_reason": "stop", "error": None,
    "seed_kind": "conversation", "same": 0.1,
}  # fmt: skip
SCHEMA = {name: pl.Float64 if name in ("similarity", "seed_answer_similarity", "same") else pl.String for name in LINE}

TABLE = [
    ({}, None),
    ({"text": None, "error": "timeout"}, "no_text"),
    ({"text": " \n"}, "no_text"),
    ({"finish_reason": "length"}, "truncated"),
    ({"text": f"{GOOD} <|im_end|>"}, "template_debris"),
    ({"text": f"#The Given Prompt#: {GOOD}"}, "leaked_prompt"),
    ({"text": "改写后的问题：给面包店起个名字？", "seed": "给面包店起个名字。"}, "leaked_prompt"),
    ({"text": "Sure, suggest a name."}, "answer_instead_of_request"),
    ({"text": "Sandy's Bakery and Tea House"}, "no_request"),
    ({"text": " suggest A NAME\nfor a bakery. "}, "identical"),
    ({"text": "请给一家面包店起一个名字。"}, "language_changed"),
    ({"text": f"{GOOD} {'It is old. ' * 21}"}, "too_many_words"),
    ({"text": f"{GOOD} {'It is old. ' * 21}", "seed_kind": "text"}, None),
    ({"similarity": 0.98}, "no_gain"),
    ({"similarity": 0.98, "seed_kind": "text"}, "no_gain"),
    ({"similarity": 0.29}, "lost_subject"),
    ({"similarity": 0.29, "seed_kind": "text"}, None),
    ({"seed_answer_similarity": 0.81}, "answers_the_seed"),
    ({"seed_answer_similarity": None}, None),
    ({"same": 0.91}, "same_request"),
    ({"same": None}, None),
]


@pytest.mark.parametrize(("changed", "reason"), TABLE)
def test_rules(changed: dict, reason: str | None) -> None:
    frame = pl.DataFrame([{**LINE, **changed}], schema=SCHEMA)
    assert first_failure(frame, rules(Evolution()))["reason"].to_list() == ([reason] if reason else [])


def test_every_rule_is_tried_above() -> None:
    assert {rule.reason for rule in rules(Evolution())} == {reason for _, reason in TABLE if reason}


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("How tall is it?", True),
        ("Given three numbers, find the largest.", False),
        ("You have three numbers. Find the largest.", True),
        ("Take a list, then sort it.", True),
        ('"Explain gravity."', True),
        ("- Write a poem", True),
        ("Explanation of gravity", False),
        ("A man walks into a bar.", False),
        ("请写一首诗", True),
        ("春天来了。", False),
    ],
)
def test_what_asks(text: str, does: bool) -> None:
    assert pl.select(asks(pl.lit(text))).item() is does
