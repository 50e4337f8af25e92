"""The engine for servers against a real `vllm serve` with a tiny model.

One server serves the whole module, because its start takes longer than all tests together.
"""

import pytest

from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.openai_engine import OpenAIEngine
from infinity_assets.settings.models import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask, run_engine
from infinity_assets_tests.inference.engines.contract import assert_answers_of_all_kinds, assert_scores_equal
from infinity_assets_tests.inference.engines.served import vllm_serve

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine(tiny_model, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log.txt"
    with vllm_serve(tiny_model, "--dtype", "float32", log=log) as url:
        engine = OpenAIEngine(ModelSpec(backend="openai", model="m", base_url=url, max_model_len=512))
        yield engine
        engine.close()


def test_requests_of_all_kinds_share_a_batch(engine, plain_tiny):
    assert_answers_of_all_kinds(engine, plain_tiny)


def test_equal_seeds_give_equal_answers(engine):
    sampling = Sampling(temperature=1.0, max_tokens=16)
    drawn = [ask("a", "Tell me a story.", sampling=sampling, seed=seed) for seed in (1, 1, 2)]
    first, again, other = [response.text for response in run_engine(engine, drawn)]
    assert first == again != other


def test_scores_equal_those_of_transformers(engine, plain_tiny):
    assert_scores_equal(engine, plain_tiny)


def test_too_long_and_invalid_requests_have_different_errors(engine):
    odd = ask("b", messages=({"role": "wizard", "content": "?"},), sampling=Sampling(temperature=99.0))
    long, odd = run_engine(engine, [ask("a", "word " * 2000), odd])
    assert (long.error, long.window) == ("prompt_too_long", 512)
    assert odd.error == "invalid_request"


def test_an_unknown_model_ends_the_run(engine):
    other = OpenAIEngine(engine.spec.model_copy(update={"model": "another"}))
    with pytest.raises(EngineUnavailable, match="another does not exist"):
        run_engine(other, [ask("a")])
    other.close()
