"""Keys change exactly when the answer can: needless changes repeat all requests, missing ones serve wrong answers."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.inference.requests import (
    CompleteRequest,
    EmbedRequest,
    ScoreRequest,
    normalize_logprobs,
    request_key,
)
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask

MODEL = "m@main"
BASE = ask("row", "question")
COMPLETE = CompleteRequest("row", "answer", "p1", "question", Sampling(temperature=0.0, top_p=0.9), stop=("</s>",))
SCORE = ScoreRequest("row", "ifd", ({"role": "user", "content": "question"},), "answer")


CHANGED_PROMPT: list[dict[str, Any]] = [
    {"prompt": "another"},
    {"prompt_hash": "p2"},
    {"seed": 0},
    {"index": 1},
    {"attempt": 1},
]
CHANGED_SAMPLING: list[dict[str, Any]] = [
    {"sampling": Sampling(temperature=t, top_p=p)} for t, p in ((0.1, 0.9), (0.0, 0.5))
]
CHANGED_MESSAGES: list[dict[str, Any]] = [
    {"messages": ({"role": "user", "content": "question?"},)},
    {"messages": ({"role": "system", "content": "question"},)},
    {"messages": (*BASE.messages, {"role": "assistant", "content": ""})},
]


def test_fields_that_decide_the_answer_change_the_key():
    structured: list[dict[str, Any]] = [{"schema": {"type": "object"}}, {"choices": ("1", "2")}]
    continued: list[dict[str, Any]] = [{"text": "question "}, {"stop": ()}, {"stop": ("</s>", "<CON>")}]
    requests = [
        BASE,
        *(replace(BASE, **change) for change in (*CHANGED_PROMPT, *CHANGED_SAMPLING, *CHANGED_MESSAGES, *structured)),
        COMPLETE,
        *(replace(COMPLETE, **change) for change in (*CHANGED_PROMPT, *CHANGED_SAMPLING, *continued)),
        SCORE,
        replace(SCORE, answer="another"),
        replace(SCORE, context=()),
        EmbedRequest("question"),
    ]
    assert len({request_key(MODEL, request) for request in requests}) == len(requests)
    assert request_key(MODEL, replace(COMPLETE, row_id="another")) == request_key(MODEL, COMPLETE)


def test_the_model_and_its_revision_change_the_key():
    keys = {
        request_key(ModelSpec(model=model, revision=revision).weights_id, BASE)
        for model in "ab"
        for revision in ("main", "v2")
    }
    assert len(keys) == 4


def test_other_fields_do_not_change_the_key():
    same = [
        replace(BASE, row_id="another"),
        replace(BASE, messages=({"content": "question", "role": "user"},)),
        replace(BASE, sampling=Sampling.model_construct(temperature=0, top_p=0.9, max_tokens=256)),
        replace(BASE, sampling=Sampling(temperature=0.0, top_p=0.9, max_tokens=7)),
    ]
    assert {request_key(MODEL, request) for request in same} == {request_key(MODEL, BASE)}
    assert request_key(MODEL, replace(SCORE, row_id="b", prompt="loss")) == request_key(MODEL, SCORE)
    engines = [
        ModelSpec(),
        ModelSpec(max_model_len=64, engine={"max_num_seqs": 8}, concurrency=1, base_url="http://elsewhere"),
    ]
    assert len({spec.weights_id for spec in engines}) == 1


def test_the_key_is_stable_across_versions():
    assert request_key(MODEL, BASE) == "0ae2246fb534e248b6cf5e1b8ef9f06f"


def test_the_order_of_a_schema_changes_the_key():
    """A model fills in the properties in that order."""
    one, two = ({"type": "object", "properties": {name: {} for name in names}} for names in ("ab", "ba"))
    assert request_key(MODEL, replace(BASE, schema=one)) != request_key(MODEL, replace(BASE, schema=two))


@given(
    st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=3),
    st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=3),
)
def test_keys_are_equal_only_for_equal_messages(one, two):
    def key(turns):
        return request_key(
            MODEL, replace(BASE, messages=tuple({"role": role, "content": content} for role, content in turns))
        )

    assert (key(one) == key(two)) == (one == two)


def test_invalid_requests_are_rejected():
    with pytest.raises(ValueError, match="not both"):
        replace(BASE, schema={}, choices=("a",))
    with pytest.raises(ValueError, match="needs a text"):
        replace(COMPLETE, text="")
    with pytest.raises(ValueError, match="empty answer"):
        replace(SCORE, answer="")


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=10))
def test_normalized_log_probabilities_add_up_to_one(values):
    import math

    assert math.fsum(math.exp(value) for value in normalize_logprobs(values)) == pytest.approx(1.0)
