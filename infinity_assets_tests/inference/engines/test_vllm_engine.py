"""The embedded model in a real vLLM. All tests of this process share one engine, because its start takes longer."""

import json
import math
import resource

import numpy as np
import pytest

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import EmbedderSpec, Sampling
from infinity_assets_tests.inference.doubles import EMBEDDED, ask, assert_bad_requests_fail_alone, run_engine

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
CAPITAL = ({"role": "user", "content": "What is the capital of France?"},)
FITTING = "The capital of France is Paris."
MISFIT = "Photosynthesis turns light into sugar inside a leaf."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "country": {"type": "string", "maxLength": 20}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


@pytest.fixture
def engine(embedded_engine):
    return embedded_engine


def test_requests_of_all_kinds_share_a_batch(engine):
    responses = run_engine(
        engine,
        [
            ask("a", messages=CAPITAL, sampling=GREEDY),
            ScoreRequest("a", "ifd", CAPITAL, FITTING),
            ask("a", "Is fire hot? Answer yes or no.", choices=("yes", "no")),
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=0.0, max_tokens=48), schema=SCHEMA),
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=1.0, max_tokens=8), seed=1),
        ],
    )
    answer, score, choice, structured, drawn = responses
    assert all(response.error is None and response.seconds > 0 for response in responses)
    assert "Paris" in (answer.text or "")
    assert answer.finish_reason == "stop"
    assert score.answer_tokens == 7
    assert choice.text in ("yes", "no")
    assert drawn.completion_tokens <= 8
    assert set(json.loads(structured.text or "")) == {"city", "country"}


def test_scores_agree_with_transformers(engine, plain):
    cases = [(CAPITAL, FITTING), (CAPITAL, MISFIT), ((), FITTING), ((), MISFIT)]
    for response, case in zip(
        run_engine(engine, [ScoreRequest("a", "ifd", *case) for case in cases]), cases, strict=True
    ):
        expected = plain.logprobs(*case)
        assert response.answer_tokens == len(expected)
        assert response.sum_logprob == pytest.approx(math.fsum(expected), abs=1e-3 * len(expected))


def test_an_instruction_helps_to_predict_only_its_answer(engine):
    """IFD, the ratio of the two losses, is well below 1 for a fitting answer."""

    def loss(response):
        return -response.sum_logprob / response.answer_tokens

    requests = [ScoreRequest("a", "ifd", context, answer) for answer in (FITTING, MISFIT) for context in (CAPITAL, ())]
    fit, fit_alone, misfit, misfit_alone = map(loss, run_engine(engine, requests))
    assert fit / fit_alone < 0.2
    assert fit / fit_alone < misfit / misfit_alone


def test_a_score_does_not_depend_on_its_batch(engine):
    one = ScoreRequest("a", "ifd", CAPITAL, MISFIT)
    alone = run_engine(engine, [one])[0]
    crowd = run_engine(
        engine, [ScoreRequest("b", "ifd", CAPITAL, FITTING + " " + word) for word in MISFIT.split()] + [one]
    )[-1]
    assert crowd.sum_logprob == pytest.approx(alone.sum_logprob, abs=0.01)


def test_choices_come_with_their_log_probabilities(engine):
    digits = ("1", "2", "3", "4", "5")
    request = ask("a", "Rate this answer from 1 to 5 with one digit.\nQuestion: 1 + 1?\nAnswer: 2.", choices=digits)
    first, second = run_engine(engine, [request, request])
    assert first.text == second.text
    assert first.choice_logprobs is not None
    assert math.fsum(map(math.exp, first.choice_logprobs)) == pytest.approx(1.0)
    assert first.text == digits[int(np.argmax(first.choice_logprobs))]
    assert first.completion_tokens == 1


def test_log_probabilities_of_choices_equal_those_of_plain_transformers(engine, plain):
    """They equal the normalized probability of each choice as an answer."""
    request = ask("a", "Is fire hot? Answer yes or no.", choices=("yes", "no", "maybe"))
    response = run_engine(engine, [request])[0]
    assert response.choice_logprobs == pytest.approx(plain.choice_logprobs(request.messages, request.choices), abs=1e-3)


def test_choices_with_a_common_first_token_are_answered(engine):
    response = run_engine(engine, [ask("a", "A or B?", choices=("the first one", "the second one"))])[0]
    assert response.text in ("the first one", "the second one")
    assert response.choice_logprobs is None


def test_a_text_is_continued_without_a_template(engine):
    """Its own special tokens are recognized, its stops end it, and it shares a batch with other requests."""
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    whole, stopped, long, chat = run_engine(
        engine,
        [
            CompleteRequest("a", "p", "", text, GREEDY),
            CompleteRequest("a", "p", "", text, GREEDY, stop=("Paris",)),
            CompleteRequest("a", "p", "", "word " * 1100, GREEDY),
            ask("a", messages=({"role": "system", "content": "You answer."}, *CAPITAL), sampling=GREEDY),
        ],
    )
    assert "Paris" in (whole.text or "")
    assert (whole.finish_reason, "<|im_end|>" in (whole.text or "")) == ("stop", False)
    assert stopped.text == (whole.text or "").partition("Paris")[0]
    assert stopped.finish_reason == "stop"
    assert whole.prompt_tokens < chat.prompt_tokens
    assert (long.error, long.window) == ("prompt_too_long", EMBEDDED.max_model_len)


def test_bad_requests_are_errors_among_good_answers(engine):
    assert_bad_requests_fail_alone(engine, EMBEDDED.max_model_len)


def test_only_the_faulty_request_of_a_step_fails(engine, monkeypatch):
    """The engine's step fails whenever it contains a certain request."""
    llm, flying = engine._llm.llm_engine, set()
    add, step = llm.add_request, llm.step

    def watched_add(name, prompt, params):
        if params.max_tokens == 5:
            flying.add(name)
        return add(name, prompt, params)

    def failing_step():
        if flying:
            flying.clear()
            raise RuntimeError("the device coughed")
        return step()

    monkeypatch.setattr(llm, "add_request", watched_add)
    monkeypatch.setattr(llm, "step", failing_step)
    poison = ask("bad", messages=CAPITAL, sampling=GREEDY.model_copy(update={"max_tokens": 5}))
    responses = run_engine(
        engine, [ask("a", messages=CAPITAL, sampling=GREEDY), poison, ask("b", "Hello!", sampling=GREEDY)]
    )
    assert [response.error for response in responses] == [None, "engine_error", None]
    assert "coughed" in (responses[1].cause or "")


def test_a_caller_that_stops_listening_leaves_a_usable_engine(engine):
    running = engine.run(
        [ask(f"{most} tokens", sampling=Sampling(temperature=0.0, max_tokens=most)) for most in (1, 8, 9)]
    )
    next(running)
    running.close()
    assert not engine._llm.llm_engine.has_unfinished_requests()
    assert run_engine(engine, [ask("a", messages=CAPITAL, sampling=GREEDY)])[0].error is None


def test_embeddings_are_unit_vectors_and_close_for_similar_texts(tmp_path):
    inference = Inference(ResponseStore(tmp_path), EnginePool(tmp_path))
    texts = ["How do I boil an egg?", "What is the way to cook eggs?", "The stock market fell.", "long " * 1000]
    vectors = inference.embed(EmbedderSpec(), texts, "stage")
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.6 > vectors[0] @ vectors[2]
    inference.release()


def test_memory_stays_within_a_laptop(engine):
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8e6  # KiB
