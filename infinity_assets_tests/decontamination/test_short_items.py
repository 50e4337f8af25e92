"""Tests that short benchmark questions are found inside the texts that people put around them, and nowhere else."""

import pytest

from infinity_assets.decontamination.gate import Gate
from infinity_assets.settings import Decontamination
from infinity_assets_tests.decontamination.test_gate import asked, items_frame

ITEMS = [
    "Who built the lighthouse?",
    "Name a moor.",
    "What is 12,500 minus 48?",
    "What's Ann's \"plan\"?",
    "灯塔是谁建造的？",
    "Compute $7 - 4i$.",
]
GATE = Gate(items_frame(ITEMS), Decontamination())


def found(text: str) -> list[str]:
    return GATE.hits(asked(text))["item_id"].to_list()


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Question: Who built the lighthouse?\nAnswer:", 0),
        ("Q: Who built the lighthouse? Options: (A) Ann (B) Bob (C) Cy (D) Dee", 0),
        ("Who built the lighthouse?\nA. Ann\nB. Bob\nAnswer:", 0),
        ("Answer briefly. Who built the lighthouse? Give only the name.", 0),
        ("Coastal history quiz: who built the lighthouse?", 0),
        ("My grandfather wants to know this before dinner. Who built the lighthouse? He will be glad.", 0),
        ("<b>Who built the lighthouse?</b>", 0),
        ("Hey Ann, who built the lighthouse?", 0),
        ("Please name a moor.", 1),
        ("What is 12500 minus 48? Think step by step.", 2),
        ("Solve: what is 12,500 minus 48", 2),
        ("Q: What&#x27;s Ann&#39;s &quot;plan&quot;?", 3),
        ("请回答以下问题：灯塔是谁建造的？", 4),
        ("Solve the problem. Compute $7 - 4i$. Put your final answer in a box.", 5),
    ],
)
def test_a_question_is_found_in_its_wrapper(text: str, item: int) -> None:
    assert found(text) == [f"b#{item}"]


@pytest.mark.parametrize(
    "text",
    [
        "Who built the lighthouse keeper's house?",
        "Tell me when and for whom who built the lighthouse of stone was paid.",
        "Name a moor and a mountain that are near the sea.",
        "On a clear and windless night, long after the storm, who built the lighthouse?",
        "My grandfather wants to know this before dinner. Name a moor. He will be glad.",  # too short among others
        "What is 12,500 minus 480?",
        "What is 1 2500 minus 48?",
        "Who built the lighthouse? " + "And who painted it, and when was it repaired, and by whom? " * 5,
    ],
)
def test_another_question_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text", ["", "?", "Question:", "1,250,000", "&amp;", "&#x27;&quot;;", "(A)", "：", "Answer: A", "é" * 30]
)
def test_texts_without_a_question_are_no_hits(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("questions", "text", "items"),
    [
        (["Continue"], "Please continue.", ["b#0"]),
        (["Continue", "Who built it?"], "Question: who built it?", ["b#1"]),
        (["", "?", "Who built it?"], "Question: who built it?", ["b#2"]),
        (["stone and moor and " * 10], "Question: who built it?", []),  # no short question at all
    ],
)
def test_questions_of_any_length_are_searched_for(questions: list[str], text: str, items: list[str]) -> None:
    gate = Gate(items_frame(questions), Decontamination(exact_words=1))
    assert gate.hits(asked(text))["item_id"].to_list() == items
