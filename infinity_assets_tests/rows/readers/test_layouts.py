"""Each dataset names its turns in its own way. The same exchange must come out of all of them as the same messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.rows.grammar import Rejected
from infinity_assets.rows.readers.layouts import LAYOUTS, Parsed, parse

Q, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
S = {"role": "system", "content": "s"}

SAME_EXCHANGE = {
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "alpaca, no input": {"instruction": "q", "output": "a"},
    "alpaca, response": {"instruction": "q", "input": None, "response": "a"},
    "alpaca, blank output beside a response": {"instruction": "q", "input": "", "output": "", "response": "a"},
    "self-instruct": {"instruction": "q", "instances": [{"input": "", "output": "a"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "sharegpt, bing": {"conversation": [{"from": "user", "value": "q"}, {"from": "bing", "value": "a"}]},
    "sharegpt, chatgpt": {"conversations": [{"from": "Human", "value": " q\n"}, {"from": "chatgpt", "value": "a"}]},
    "sharegpt, openai names": {"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    "openai": {"messages": [Q, A]},
    "openai, parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, A]},
    "openai, parts with value": {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]}, A]},
    "question and answer": {"question": "q", "answer": "a"},
    "problem and solution": {"problem": "q", "solution": "a", "level": 5},
    "prompt and completion": {"prompt": "q", "completion": "a"},
    "prompt and response": {"prompt": "q", "response": "a"},
    "dialogue": ["q", "a"],
    "dialogue in an object": {"conversations": ["q", "a"]},
}


@pytest.mark.parametrize("record", SAME_EXCHANGE.values(), ids=SAME_EXCHANGE)
def test_the_same_exchange(record: object) -> None:
    assert parse(record) == [Parsed([Q, A], "conversation", None)]


RAW_MATERIAL = [
    ({"instruction": "q", "input": "", "output": " "}, [Q], "instruction"),
    ({"instruction": "q", "instances": []}, [Q], "instruction"),
    ({"question": "q"}, [Q], "instruction"),
    ({"problem": "q"}, [Q], "instruction"),
    ({"prompt": "q", "completion": None}, [Q], "instruction"),
    ({"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}]}, [S, Q], "instruction"),
    (["q"], [Q], "instruction"),
    ({"text": "q"}, [Q], "text"),
    ("q", [Q], "text"),
]


@pytest.mark.parametrize(("record", "messages", "kind"), RAW_MATERIAL)
def test_a_record_without_an_answer_is_raw_material(record: object, messages: list, kind: str) -> None:
    assert parse(record) == [Parsed(messages, kind, None)]  # pyright: ignore[reportArgumentType]


def contents(record: object) -> list[str]:
    (parsed,) = parse(record)
    assert isinstance(parsed, Parsed)
    return [message["content"] for message in parsed.messages]


def test_details_of_layouts() -> None:
    assert contents({"instruction": "q", "input": "i", "output": 4}) == ["q\n\ni", "4"]
    assert contents({"instruction": "q", "output": "a", "history": [["q0", "a0"]], "system": "s"}) == ["s", "q0", "a0", "q", "a"]
    assert contents({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, "y"]}, A]}) == ["x\ny", "a"]
    assert contents({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"}) == ["s", "q", "a"]
    assert contents(["q", 1]) == ["q", "1"]


def test_each_instance_is_a_row_of_its_own() -> None:
    outcomes = parse({"instruction": "q", "instances": [{"input": "1", "output": "a"}, {"input": "2", "output": ""}]})
    assert [(outcome.messages[0]["content"], outcome.kind) for outcome in outcomes if isinstance(outcome, Parsed)] == [
        ("q\n\n1", "conversation"),
        ("q\n\n2", "instruction"),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"foo": "bar"}, "unknown_layout"),
        ({"messages": []}, "unknown_layout"),
        ({"instruction": None, "output": "a"}, "unknown_layout"),
        (None, "unknown_layout"),
        ([], "unknown_layout"),
        ([["q", "a"]], "unknown_layout"),
        (3, "unknown_layout"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unknown_role"),
        ({"messages": [{"content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, A]}, "non_text_content"),
        ({"question": "q", "answer": {"value": 1}}, "non_text_content"),
        ({"instruction": "q", "output": "a", "history": "broken"}, "non_text_content"),
        ({"instruction": "", "input": "", "output": ""}, "empty_turn"),
        ({"text": " "}, "empty_turn"),
    ],
)
def test_what_cannot_be_read_says_why(record: object, reason: str) -> None:
    (outcome,) = parse(record)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == reason


def test_an_unknown_layout_names_the_keys() -> None:
    assert parse({"context": "x", "target": "y"}) == [Rejected("unknown_layout", "keys: context, target")]


def test_a_layout_can_be_forced() -> None:
    record = {"text": "passage", "question": "q", "answer": "a"}
    assert contents(record) == ["q", "a"]
    (forced,) = parse(record, layout="text")
    assert isinstance(forced, Parsed)
    assert forced.kind == "text"
    assert parse("bare", layout="alpaca") == [Rejected("unknown_layout", "str")]


KEYS = [
    "messages",
    "conversations",
    "conversation",
    "instruction",
    "input",
    "output",
    "instances",
    "history",
    "system",
    "question",
    "answer",
    "problem",
    "solution",
]
KEYS += ["prompt", "completion", "text", "role", "content", "from", "value", "type"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["user", "gpt", "system", "", "You are", "[INST]", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


@given(value=VALUES, layout=st.none() | st.sampled_from(list(LAYOUTS)))
def test_any_value_has_an_outcome(value: object, layout: str | None) -> None:
    outcomes = parse(value, layout)
    assert outcomes
    for outcome in outcomes:
        if isinstance(outcome, Parsed):
            assert all(set(message) == {"role", "content"} for message in outcome.messages)
            assert (outcome.messages[-1]["role"] == "assistant") == (outcome.kind == "conversation")
