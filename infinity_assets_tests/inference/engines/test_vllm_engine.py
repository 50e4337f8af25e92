"""The embedded model in a real vLLM. All tests of this process share one engine, because its start takes longer."""

import resource

import numpy as np
import pytest

from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import ScoreRequest
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import EmbedderSpec, Sampling
from infinity_assets_tests.inference.doubles import EMBEDDED, ask, run_engine
from infinity_assets_tests.inference.engines.contract import (
    CAPITAL,
    FITTING,
    GREEDY,
    MISFIT,
    assert_answers_of_all_kinds,
    assert_bad_requests_fail_alone,
)

pytestmark = pytest.mark.engine


@pytest.fixture
def engine(embedded_engine):
    return embedded_engine


def test_requests_of_all_kinds_share_a_batch(engine, plain):
    assert_answers_of_all_kinds(engine, plain)


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
