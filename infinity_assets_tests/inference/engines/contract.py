"""Assertions for every engine with a language model."""

import json
import math

import pytest

from infinity_assets.inference.engines.engine import Engine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.settings.models import Sampling
from infinity_assets_tests.inference.doubles import ask, run_engine
from infinity_assets_tests.inference.plain import Plain

GREEDY = Sampling(temperature=0.0, max_tokens=12)
CAPITAL = ({"role": "user", "content": "What is the capital of France?"},)
FITTING = "The capital of France is Paris."
MISFIT = "Photosynthesis turns light into sugar inside a leaf."
SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string", "maxLength": 20} for name in ("city", "country")},
    "required": ["city", "country"],
    "additionalProperties": False,
}
CHOICE = ask("a", "How good is this answer, from 1 to 5? 'Paris.' Answer with a digit.", choices=tuple("31524"))


def assert_answers_of_all_kinds(engine: Engine, plain: Plain) -> None:
    """Assert that requests of all kinds can share a batch, and that texts and choices equal those of the model."""
    text = plain.tokenizer.decode(plain.prompt(CAPITAL))
    expected = plain.greedy(CAPITAL, GREEDY.max_tokens)
    stop = expected[len(expected) // 2 :][:4]
    answer, whole, stopped, structured, choice, second, alike, score, drawn = run_engine(
        engine,
        [
            ask("a", messages=CAPITAL, sampling=GREEDY),
            CompleteRequest("a", "p", "", text, GREEDY),
            CompleteRequest("a", "p", "", text, GREEDY, stop=(stop, "never")),
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=0.0, max_tokens=256), schema=SCHEMA),
            CHOICE,
            CHOICE,
            ask("a", "A or B?", choices=("the first one", 'the "second" one')),  # both share the first token
            ScoreRequest("a", "ifd", CAPITAL, FITTING),
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=1.0, max_tokens=8), seed=1),
        ],
    )
    assert (answer.error, answer.text, answer.prompt_tokens) == (None, expected, len(plain.prompt(CAPITAL)))
    assert (answer.finish_reason == "length") == (answer.completion_tokens == GREEDY.max_tokens)
    assert answer.seconds > 0
    assert (whole.text, whole.finish_reason) == (expected, answer.finish_reason)
    assert (stopped.text, stopped.finish_reason) == (expected.partition(stop)[0], "stop")
    assert (structured.finish_reason, set(json.loads(structured.text or ""))) == ("stop", {"city", "country"})
    assert CHOICE.choices
    assert choice.choice_logprobs
    logprobs = plain.choice_logprobs(CHOICE.messages, CHOICE.choices)
    assert choice.choice_logprobs == pytest.approx(logprobs, abs=1e-3)
    assert math.fsum(map(math.exp, choice.choice_logprobs)) == pytest.approx(1)
    assert choice.text == second.text == CHOICE.choices[logprobs.index(max(logprobs))]
    assert choice.completion_tokens == 1
    assert alike.text in ("the first one", 'the "second" one')
    assert alike.choice_logprobs is None
    assert (score.finish_reason, score.answer_tokens) == ("scored", 7)
    assert 0 < drawn.completion_tokens <= 8


def assert_scores_equal(engine: Engine, plain: Plain) -> None:
    """Assert that the log-probabilities of answers equal those of the model."""
    cases = [(CAPITAL, FITTING), (CAPITAL, MISFIT), ((), FITTING), ((), MISFIT * 5)]
    responses = run_engine(engine, [ScoreRequest("a", "ifd", *case) for case in cases])
    for response, case in zip(responses, cases, strict=True):
        expected = plain.logprobs(*case)
        assert response.answer_tokens == len(expected)
        assert response.sum_logprob == pytest.approx(math.fsum(expected), abs=1e-3 * len(expected))


def assert_bad_requests_fail_alone(engine: Engine, window: int) -> None:
    """Assert that bad requests become errors among good answers, for an engine with a window of that many tokens."""
    sampling = Sampling(temperature=0.0, max_tokens=4)
    long = "word " * (window + 88)
    requests = [
        ask("good", messages=CAPITAL, sampling=sampling),
        ask("long", long, sampling=sampling),
        ask("schema", messages=CAPITAL, schema={"type": "nonsense"}, sampling=sampling),
        ask("no room", messages=CAPITAL, sampling=Sampling(max_tokens=window - 12)),
        CompleteRequest("long text", "p", "", long, sampling),
        ScoreRequest("long context", "ifd", ({"role": "user", "content": long},), "answer"),
        ScoreRequest("long answer", "ifd", CAPITAL, long),
    ]
    responses = run_engine(engine, requests)
    too_long = "prompt_too_long"
    errors = [None, too_long, "invalid_request", too_long, too_long, too_long, None]
    assert [response.error for response in responses] == errors
    assert all(response.cause for response in responses if response.error)
    assert {response.window for response in responses if response.error == too_long} == {window}
    cut = responses[6]
    assert (cut.finish_reason, cut.window, cut.prompt_tokens) == ("cut", window, window - 1)
    assert 0 < (cut.answer_tokens or 0) < window + 88
