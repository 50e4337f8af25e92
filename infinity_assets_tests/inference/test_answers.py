"""Tests that answers are found in what models write around them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.inference.answers import find_choice, find_json, take_apart
from infinity_assets.inference.checking import check_response
from infinity_assets.inference.requests import GenerateRequest, Response
from infinity_assets.settings.models import Sampling

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
DIGITS = ("1", "2", "3")


def request(**changes: object) -> GenerateRequest:
    return GenerateRequest("r", "p", "h", ({"role": "user", "content": "q"},), Sampling(max_tokens=8), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("a", "a", None),
        (" a\n", " a\n", None),
        ("<think>\nt\n</think>\n\na", "a", "t"),
        ("t\n</think>\n\na", "a", "t"),
        ("<think></think>a", "a", None),
        ("<think>t</think><think>u</think>a", "a", "t\n\nu"),
        ("<thinking>t</thinking> a", "a", "t"),
        ("[THINK]t[/THINK]a", "a", "t"),
        ("◁think▷t◁/think▷a", "a", "t"),
        ("<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>final<|message|>a<|return|>", "a", "t"),
        ("<think>t", "", "t"),
        ("<Think>t</Think>a<|im_end|>", "a", "t"),
        ("a<|im_end|>\n</s>", "a", None),
        ("Write <b>a</b> in HTML.", "Write <b>a</b> in HTML.", None),
    ],
)
def test_thoughts_and_marks_are_taken_off(text: str, answer: str, thought: str | None) -> None:
    assert take_apart(text) == (answer, thought)


@given(st.text())
def test_a_text_that_was_taken_apart_is_whole(text: str) -> None:
    answer = take_apart(text).answer
    assert take_apart(answer).answer == answer


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1}', '```json\n{"n": 1}\n```', 'Here it is:\n```\n{"n": 1}\n```\nGood luck!', 'The answer is {"n": 1}.',
        '<think>{"n": 2}</think>{"n": 1}', '{"n": 1}<|im_end|>', 'hm\n</think>\n```json\n{"n": 1}\n```',
    ],
)  # fmt: skip
def test_json_is_found(text: str) -> None:
    response = check_response(request(schema=SCHEMA), Response(text, "stop"))
    assert (response.error, json.loads(response.text or "")) == (None, {"n": 1})
    assert find_json(text)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "2",
        " 2\n",
        '{"choice": "2"}',
        '{"choice": 2}',
        "```json\n2\n```",
        "**2**",
        "Grade: 2.",
        "<think>1 or 3?</think>2",
    ],
)
def test_a_choice_is_found(text: str) -> None:
    assert check_response(request(choices=DIGITS), Response(text, "stop")).text == "2"


@pytest.mark.parametrize("text", ["2 or 3", "4", "12", "none", '{"a": "1", "b": "2"}'])
def test_a_doubtful_choice_is_none(text: str) -> None:
    assert find_choice(text, DIGITS) not in DIGITS
    assert check_response(request(choices=DIGITS), Response(text, "stop")).error == "invalid_choice"


@pytest.mark.parametrize(
    ("text", "reasoning", "finish", "error"),
    [
        ("<think>t", None, "length", "truncated"), ("", "t", "length", "truncated"), ("", None, "length", "truncated"),
        ("<think>t</think>", None, "stop", "empty"), ("", None, "stop", "empty"), ("", "t", None, "empty"),
    ],
)  # fmt: skip
def test_a_thought_is_no_answer(text: str, reasoning: str | None, finish: str | None, error: str) -> None:
    response = check_response(request(), Response(text, finish, reasoning=reasoning))
    assert response.error == error
    assert response.reasoning == (reasoning or ("t" if text else None))
