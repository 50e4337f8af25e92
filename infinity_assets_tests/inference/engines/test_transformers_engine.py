"""The transformers engine with a tiny model in float32; test_engines_agree covers the embedded model."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets.inference.engines import transformers_engine
from infinity_assets.inference.engines.transformers_engine import TransformersEngine
from infinity_assets.inference.requests import ScoreRequest
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask, run_engine
from infinity_assets_tests.inference.engines.contract import (
    CAPITAL,
    FITTING,
    GREEDY,
    MISFIT,
    SCHEMA,
    assert_answers_of_all_kinds,
    assert_bad_requests_fail_alone,
    assert_scores_equal,
)
from infinity_assets_tests.properties import examples

pytestmark = pytest.mark.engine

DRAWN = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
WINDOW = 512


@pytest.fixture(scope="module")
def engine(engines, tiny_model):
    with engines.engine(
        ModelSpec(backend="transformers", model=str(tiny_model), max_model_len=WINDOW, dtype="float32")
    ) as engine:
        assert isinstance(engine, TransformersEngine)
        yield engine


def test_requests_of_all_kinds_in_one_call(engine, plain_tiny):
    assert_answers_of_all_kinds(engine, plain_tiny)


def test_greedy_answers_equal_those_of_plain_transformers(engine, plain_tiny):
    prompts = ["Name a colour.", "What is 2 + 2?", "Say hello to a cat in one short sentence, please."]
    responses = run_engine(engine, [ask(prompt, prompt, sampling=GREEDY) for prompt in prompts])
    for prompt, response in zip(prompts, responses, strict=True):
        assert response.text == plain_tiny.greedy(({"role": "user", "content": prompt},), GREEDY.max_tokens)


def test_log_probabilities_equal_those_of_plain_transformers(engine, plain_tiny):
    assert_scores_equal(engine, plain_tiny)


def test_log_probabilities_do_not_depend_on_memory_limits(engine, monkeypatch):
    requests = [ScoreRequest("a", "ifd", CAPITAL, FITTING), ScoreRequest("b", "ifd", (), MISFIT)]
    at_once = [response.sum_logprob for response in run_engine(engine, requests)]
    monkeypatch.setattr(transformers_engine, "LOGITS", 1)
    assert [response.sum_logprob for response in run_engine(engine, requests)] == pytest.approx(at_once, abs=1e-3)
    monkeypatch.setattr(engine, "_head", None)  # like a model that caps or scales its logits
    assert [response.sum_logprob for response in run_engine(engine, requests)] == pytest.approx(at_once, abs=1e-3)


@hypothesis_settings(max_examples=examples(3), deadline=None)
@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_a_draw_does_not_depend_on_its_batch(engine, order, seed):
    one = ask("one", "Tell me a story.", sampling=DRAWN, seed=seed)
    company = [
        ask("greedy", "Hi", sampling=GREEDY),
        ask(
            "whole",
            "Write about the sea, the sun and the wind.",
            sampling=DRAWN.model_copy(update={"top_p": 1.0}),
            seed=1,
        ),
        ask("schema", messages=CAPITAL, sampling=GREEDY, schema=SCHEMA),
        ask("same", "Tell me a story.", sampling=DRAWN, seed=seed),
        one,
    ]
    alone = run_engine(engine, [one])[0].text
    responses = run_engine(engine, [company[place] for place in order])
    assert {responses[order.index(place)].text for place in (3, 4)} == {alone}


def test_draws_differ_by_seed_and_by_index(engine):
    drawn = [ask(str(seed), "Tell me a story.", sampling=DRAWN, seed=seed) for seed in range(3)]
    drawn += [ask(f"i{index}", "Tell me a story.", sampling=DRAWN, index=index) for index in range(3)]
    texts = [response.text for response in run_engine(engine, drawn)]
    assert len(set(texts)) == len(texts)
    assert [response.text for response in run_engine(engine, drawn)] == texts


def test_draws_stay_within_the_nucleus(engine):
    """Such a small nucleus contains only the most probable token."""
    greedy, drawn = run_engine(
        engine,
        [
            ask("a", "Tell me a story.", sampling=GREEDY),
            ask("a", "Tell me a story.", sampling=Sampling(temperature=1.0, top_p=1e-6, max_tokens=12), seed=3),
        ],
    )
    assert drawn.text == greedy.text


def test_draws_follow_the_models_distribution(engine):
    """If a schema allows two answers, the share of the first in many draws is its probability."""
    question = "How many legs does a dog have? Answer with one digit."
    digits = tuple("0123456789")
    shares = run_engine(engine, [ask("a", question, choices=digits)])[0].choice_logprobs
    assert shares is not None
    ranked = sorted(zip(shares, digits, strict=True))
    (one, first), (other, second) = min(pairwise(ranked), key=lambda pair: pair[1][0] - pair[0][0])
    share = 1 / (1 + math.exp(other - one))
    drawn, schema = Sampling(temperature=1.0, max_tokens=2), {"enum": [int(first), int(second)]}
    texts = [
        r.text
        for r in run_engine(engine, [ask(str(n), question, sampling=drawn, schema=schema, seed=n) for n in range(100)])
    ]
    assert set(texts) == {first, second}
    assert texts.count(first) / len(texts) == pytest.approx(share, abs=0.15)  # three standard deviations


def test_bad_requests_are_errors_among_good_answers(engine):
    assert_bad_requests_fail_alone(engine, WINDOW)


def test_a_batch_is_halved_when_memory_runs_out(engine, monkeypatch):
    """The model runs out of memory with more than two rows, and fails on one row in any batch."""
    forward, rows = engine._model.base_model.forward, []

    def short(input_ids, **arguments):
        rows.append(len(input_ids))
        if len(input_ids) > 2:
            raise MemoryError
        if (input_ids == poison).any():
            raise RuntimeError("the device coughed")
        return forward(input_ids=input_ids, **arguments)

    poison = engine._prompting.encode("poison")[0]
    monkeypatch.setattr(engine._model.base_model, "forward", short)
    monkeypatch.setattr(engine, "_batch_tokens", 1000)
    answers = ["one", "two", "three", "poison", "five", "six", "seven"]
    responses = run_engine(engine, [ScoreRequest(answer, "ifd", (), answer) for answer in answers])
    assert [answers[number] for number, response in enumerate(responses) if response.error] == ["poison"]
    assert responses[3].error == "engine_error"
    assert engine._batch_tokens < 1000
    rows.clear()
    run_engine(engine, [ScoreRequest(answer, "ifd", (), answer) for answer in answers[:3]])
    assert max(rows) <= 2


def test_only_admitted_requests_are_answered(engine, monkeypatch):
    monkeypatch.setattr(transformers_engine, "BATCH_ROWS", 2)
    asked = []

    def admit(prompt_tokens, max_tokens):
        asked.append((prompt_tokens, max_tokens))
        return len(asked) <= 3

    requests = [ask(str(number), sampling=Sampling(temperature=0.0, max_tokens=2)) for number in range(6)]
    responses = dict(engine.run(requests, admit))
    assert len(responses) == 3
    assert len(asked) == 4
    assert {max_tokens for _, max_tokens in asked} == {2}
    assert all(response.error is None for response in responses.values())
