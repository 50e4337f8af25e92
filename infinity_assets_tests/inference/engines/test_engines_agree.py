"""Equal weights in float32 give equal numbers in every engine, so scores can be compared across machines."""

import numpy as np
import pytest

from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.settings.models import Sampling
from infinity_assets_tests.inference.doubles import EMBEDDED, ask, run_engine

pytestmark = pytest.mark.engine

CONTEXTS = [
    (),
    ({"role": "user", "content": "What is the capital of France?"},),
    ({"role": "system", "content": "You answer in one word."}, {"role": "user", "content": "2 + 2?"}),
    (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "养蜂人做什么?"},
    ),
]
ANSWERS = ["Paris.", "4", "蜜蜂采集花蜜,把它酿成蜂蜜。", "A long one. " * 20, "def f(x):\n    return x ** 2\n"]
SCORES = [ScoreRequest("a", "ifd", context, answer) for context in CONTEXTS for answer in ANSWERS]
CHOICES = [ask("a", f"Rate it from 1 to 5: {answer}", choices=("1", "2", "3", "4", "5")) for answer in ANSWERS]
GREEDY = Sampling(temperature=0.0, max_tokens=16)
TEXT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
WRITTEN = [
    ask("a", messages=CONTEXTS[1], sampling=GREEDY),
    ask("a", "Count to 5.", sampling=GREEDY),
    CompleteRequest("a", "p", "", TEXT, GREEDY),
    CompleteRequest("a", "p", "", TEXT, GREEDY, stop=("is Par", "never")),
]
TOLERANCE = 1e-3
"""Tolerance of mean log-probabilities, in nats per token."""


@pytest.fixture(scope="module")
def answers(engines):
    """Responses to all requests in order, by engine."""
    responses = {}
    for name in ("vllm", "transformers"):
        with engines.engine(EMBEDDED.model_copy(update={"backend": name})) as engine:
            responses[name] = run_engine(engine, [*SCORES, *CHOICES, *WRITTEN])
    return responses


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_log_probabilities_equal_those_of_plain_transformers(answers, plain, engine):
    scores = answers[engine][: len(SCORES)]
    assert [score.error for score in scores] == [None] * len(SCORES)
    expected = [np.mean(plain.logprobs(request.context, request.answer)) for request in SCORES]
    means = [score.sum_logprob / score.answer_tokens for score in scores]
    assert means == pytest.approx(expected, abs=TOLERANCE)
    assert np.mean(np.abs(np.subtract(means, expected))) < TOLERANCE / 10


def test_engines_agree_on_choices(answers):
    ours, theirs = (answers[engine][len(SCORES) : len(SCORES) + len(CHOICES)] for engine in ("transformers", "vllm"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.choice_logprobs == pytest.approx(other.choice_logprobs, abs=TOLERANCE)
        assert (one.text, one.prompt_tokens, one.completion_tokens) == (
            other.text,
            other.prompt_tokens,
            other.completion_tokens,
        )


def test_engines_agree_on_greedy_answers(answers):
    """Answers and continuations end by themselves, without the end-of-text token."""
    ours, theirs = (answers[engine][-len(WRITTEN) :] for engine in ("transformers", "vllm"))
    for one, other in zip(ours, theirs, strict=True):
        fields = [(r.text, r.finish_reason, r.prompt_tokens, r.completion_tokens) for r in (one, other)]
        assert fields[0] == fields[1]
    answer, _, continued, stopped = ours
    assert [response.finish_reason for response in (answer, continued, stopped)] == ["stop"] * 3
    assert "Paris" in answer.text
    assert "Paris" in continued.text
    assert "<|im_end|>" not in answer.text + continued.text
    assert stopped.text == continued.text.partition("is Par")[0]
