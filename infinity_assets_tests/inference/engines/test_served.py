"""The engine for servers against a real `vllm serve` with a tiny model.

One server serves the whole module, because its start takes longer than all tests together.
"""

import json
import math
import sys

import pytest

from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.openai_engine import OpenAIEngine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask, run_engine
from infinity_assets_tests.inference.engines.served import processes_of, running, vllm_serve

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
CAPITAL = ({"role": "user", "content": "What is the capital of France?"},)
FITTING = "The capital of France is Paris."
MISFIT = "Photosynthesis turns light into sugar inside a leaf."
SCORES = [ScoreRequest("a", "ifd", context, answer) for context in (CAPITAL, ()) for answer in (FITTING, MISFIT)]
DIGITS = ask(
    "a", "How good is this answer, from 1 to 5? 'Paris.' Answer with a digit.", choices=("1", "2", "3", "4", "5")
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "country": {"type": "string", "maxLength": 20}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(tiny_model, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log.txt"
    with vllm_serve(tiny_model, "--dtype", "float32", log=log) as (url, session):
        engine = OpenAIEngine(ModelSpec(backend="openai", model="m", base_url=url, max_model_len=512))
        yield engine
        engine.close()
        assert len(processes_of(session)) >= 2  # the server and its engine
    assert processes_of(session) == []


def test_answers_continuations_and_structured_answers(engine, plain_tiny):
    text, expected = (
        plain_tiny.tokenizer.decode(plain_tiny.prompt(CAPITAL)),
        plain_tiny.greedy(CAPITAL, GREEDY.max_tokens),
    )
    stop = expected[len(expected) // 2 :][:4]
    responses = run_engine(
        engine,
        [
            ask("a", messages=CAPITAL, sampling=GREEDY),
            CompleteRequest("a", "p", "h", text, GREEDY, (stop,)),
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=0.0, max_tokens=256), schema=SCHEMA),
            ask("a", "Is fire hot? Answer yes or no.", choices=("yes", "no")),
            ask("a", "Which of the two?", choices=("the first", "the second")),  # both share the first token
        ],
    )
    assert [response.error for response in responses] == [None] * 5
    answer, continuation, structured, choice, grammar = responses
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == (expected, "length", GREEDY.max_tokens)
    assert answer.prompt_tokens == len(plain_tiny.prompt(CAPITAL))
    assert (continuation.text, continuation.finish_reason) == (expected.partition(stop)[0], "stop")
    assert structured.finish_reason == "stop"
    assert set(json.loads(structured.text or "")) == {"city", "country"}
    assert choice.text in ("yes", "no")
    assert grammar.text in ("the first", "the second")
    assert grammar.choice_logprobs is None


def test_equal_seeds_give_equal_answers(engine):
    drawn = [
        ask("a", "Tell me a story.", sampling=Sampling(temperature=1.0, max_tokens=16), seed=seed) for seed in (1, 1, 2)
    ]
    first, again, other = [response.text for response in run_engine(engine, drawn)]
    assert first == again != other


def test_scores_equal_those_of_transformers(engine, plain_tiny):
    for response, request in zip(run_engine(engine, SCORES), SCORES, strict=True):
        expected = plain_tiny.logprobs(request.context, request.answer)
        assert response.answer_tokens == len(expected)
        assert response.sum_logprob == pytest.approx(math.fsum(expected), abs=1e-3 * len(expected))


def test_choices_have_the_log_probabilities_of_their_first_tokens(engine, plain_tiny):
    choice = run_engine(engine, [DIGITS])[0]
    assert DIGITS.choices
    assert choice.choice_logprobs
    assert math.fsum(map(math.exp, choice.choice_logprobs)) == pytest.approx(1)
    expected = plain_tiny.choice_logprobs(DIGITS.messages, DIGITS.choices)
    assert choice.choice_logprobs == pytest.approx(expected, abs=1e-3)
    assert choice.text == DIGITS.choices[expected.index(max(expected))]


def test_too_long_and_invalid_requests_have_different_errors(engine):
    long, odd = run_engine(
        engine,
        [
            ask("a", "word " * 2000),
            ask("b", messages=({"role": "wizard", "content": "?"},), sampling=Sampling(temperature=99.0)),
        ],
    )
    assert (long.error, long.window) == ("prompt_too_long", 512)
    assert odd.error == "invalid_request"


def test_an_unknown_model_ends_the_run(engine):
    other = OpenAIEngine(engine.spec.model_copy(update={"model": "another"}))
    with pytest.raises(EngineUnavailable, match="another does not exist"):
        run_engine(other, [ask("a")])
    other.close()


def test_a_server_that_does_not_start_gives_the_reason(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no model in nowhere')"]
    with (
        pytest.raises(RuntimeError, match=r"did not start: no model in nowhere"),
        running(command, "http://127.0.0.1:9", tmp_path / "log", {}),
    ):
        pass
