"""A small reward model made on the spot: against transformers' own numbers, and in vLLM."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.inference.batch import conversations
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.chat_template import Prompting
from infinity_assets.inference.engines.engine import always
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.engines.reward import TransformersReward
from infinity_assets.inference.requests import Response, RewardRequest, finite
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import local_path
from infinity_assets.settings.models import ModelSpec, RewardSpec
from infinity_assets_tests.inference.doubles import reward_model
from infinity_assets_tests.properties import examples

pytestmark = pytest.mark.engine


def talk(*contents: str) -> tuple[dict[str, str], ...]:
    return tuple({"role": ("user", "assistant")[turn % 2], "content": content} for turn, content in enumerate(contents))


TALKS = [
    talk("What is the capital of France?", "Paris."),
    talk("Hi", "Hello! How can I help?", "Tell me of bees.", "Bees live in hives, gather nectar and make honey of it."),
    talk("1 + 1?", "2"),
    talk("Write a line on the sea.", "The sea is wide and blue and cold. " * 12),
]
REQUESTS = [RewardRequest(str(number), "conversation", messages) for number, messages in enumerate(TALKS)]


@pytest.fixture(scope="module")
def tokenizer_folder(models_dir):
    return local_path(ModelSpec(), models_dir)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer_folder):
    return reward_model(tmp_path_factory.mktemp("reward"), tokenizer_folder)


@pytest.fixture(scope="module")
def spec(folder):
    return RewardSpec(model=str(folder), max_model_len=256, batch_size=3)


@pytest.fixture(scope="module")
def model(spec, folder):
    model = TransformersReward(spec, folder)
    yield model
    model.close()


@pytest.fixture(scope="module")
def expected(folder):
    """Transformers' own numbers, one conversation at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [
            plain(tokenizer.apply_chat_template(list(t), return_tensors="pt")["input_ids"]).logits.item() for t in TALKS
        ]


def run(model, requests):
    responses = dict(model.run(requests))
    assert sorted(responses) == list(range(len(requests)))
    return [responses[position] for position in range(len(requests))]


@hypothesis_settings(max_examples=examples(8), deadline=None)
@given(order=st.lists(st.integers(0, len(TALKS) - 1), min_size=1, max_size=9))
def test_rewards_are_the_models_own_in_any_company(model, expected, order):
    responses = run(model, [REQUESTS[number] for number in order])
    assert [response.error for response in responses] == [None] * len(order)
    assert [response.reward for response in responses] == pytest.approx(
        [expected[number] for number in order], abs=1e-4
    )
    assert all(response.prompt_tokens > 0 for response in responses)


def test_rewards_differ_by_the_answer(model):
    rewards = [
        r.reward for r in run(model, [RewardRequest("a", "", talk("1 + 1?", answer)) for answer in ("2", "3", "fish")])
    ]
    assert len(set(rewards)) == 3


def test_a_model_that_names_its_padding_gives_the_same(tmp_path, tokenizer_folder, expected):
    spec = RewardSpec(model=str(reward_model(tmp_path, tokenizer_folder, pad_token_id=0)))
    found = [response.reward for response in run(TransformersReward(spec, tmp_path), REQUESTS)]
    assert found == pytest.approx(expected, abs=1e-4)


def test_too_long_a_conversation_is_an_error_among_rewards(model):
    good, long = run(model, [REQUESTS[0], RewardRequest("long", "", talk("word " * 300, "yes"))])
    assert good.reward is not None
    assert (long.reward, long.error, long.window) == (None, "prompt_too_long", 256)


def test_what_the_template_refuses_is_an_error_among_rewards(model, monkeypatch):
    monkeypatch.setattr(
        model._prompting._tokenizer, "chat_template", "{{ raise_exception('no') if messages|length > 2 }}{{ messages }}"
    )
    assert [response.error for response in run(model, REQUESTS[:3])] == [None, "invalid_request", None]


@given(number=st.floats(allow_nan=True, allow_infinity=True))
def test_a_reward_or_a_score_is_finite_or_null_with_a_reason(number):
    for response in (finite(Response(reward=number)), finite(Response(sum_logprob=number, answer_tokens=1))):
        kept = response.reward if response.reward is not None else response.sum_logprob
        assert (kept is None) == (response.error == "not_finite")
        assert kept is None or math.isfinite(kept)


def test_a_number_that_is_none_is_no_reward(tmp_path, model, monkeypatch):
    """The head of the model is broken for one of the conversations."""
    rewards = model._rewards

    def broken(batch):
        return [
            math.nan if len(job.tokens) == shortest else reward
            for job, reward in zip(batch, rewards(batch), strict=True)
        ]

    shortest = min(len(model._prompting.chat(request.messages, answering=False)) for request in REQUESTS)
    monkeypatch.setattr(model, "_rewards", broken)
    responses = run(model, REQUESTS)
    assert [response.error for response in responses] == [None, None, "not_finite", None]
    assert responses[2].reward is None


def test_a_failing_batch_costs_the_conversation_at_fault_alone(model, monkeypatch):
    rewards = model._rewards

    def failing(batch):
        if any(len(job.tokens) == longest for job in batch):
            raise RuntimeError("the device coughed")
        return rewards(batch)

    longest = max(len(model._prompting.chat(request.messages, answering=False)) for request in REQUESTS)
    monkeypatch.setattr(model, "_rewards", failing)
    assert [response.error for response in run(model, REQUESTS)] == [None, None, None, "engine_error"]


def test_what_is_not_admitted_is_not_rewarded(model):
    admitted = iter([True, True, False])
    assert len(dict(model.run(REQUESTS, lambda prompt_tokens, max_tokens: next(admitted)))) == 2


@pytest.mark.parametrize("labels", [2, 5])
def test_a_model_with_more_numbers_is_refused(tmp_path, tokenizer_folder, labels):
    reward_model(tmp_path, tokenizer_folder, num_labels=labels)
    with pytest.raises(InfinityError, match="no reward model"):
        TransformersReward(RewardSpec(model=str(tmp_path)), tmp_path)


def test_a_model_without_a_head_is_refused(tiny_model):
    """Transformers would make one at random."""
    with pytest.raises(InfinityError, match="no reward model"):
        TransformersReward(RewardSpec(model="a chat model"), tiny_model)


def test_the_token_that_begins_a_text_is_not_doubled(tokenizer_folder):
    """Of a tokenizer that adds it, and a template that writes it."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    begin = "<|endoftext|>"
    number = tokenizer.convert_tokens_to_ids(begin)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, number)]
    )
    tokenizer.chat_template = begin + "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    assert tokenizer.encode("yes")[0] == number
    tokens = Prompting(tokenizer, 100).chat(TALKS[0], answering=False)
    assert (tokens[0], tokens.count(number)) == (number, 1)


def test_rewards_are_stored_and_asked_once(tmp_path, spec, expected):
    opened = []

    class Watched(TransformersReward):
        def run(self, requests, admit=always):
            opened.append(len(requests))
            return super().run(requests, admit)

    pool = EnginePool(tmp_path, engine=lambda _, models_dir: Watched(spec, local_path(spec, models_dir)))
    inference = Inference(ResponseStore(tmp_path), pool)
    rows = pl.DataFrame(
        {"row_id": ["a", "b", "c"], "messages": [list(TALKS[0]), list(TALKS[1]), list(TALKS[0])]},
    )
    for cached in ([False, False, True], [True, True, True]):
        answers = inference.reward(spec, conversations(rows), "reward")
        assert answers.frame["reward"].to_list() == pytest.approx([expected[0], expected[1], expected[0]], abs=1e-4)
        assert answers.frame["cached"].to_list() == cached
        assert set(answers.generations["kind"]) == {"reward"}
    assert opened == [2]
    inference.release()


@pytest.fixture
def rewards_in_vllm(engines, folder):
    """The reward model in vLLM, which gives up the embedded model for it."""
    with engines.engine(RewardSpec(backend="vllm", model=str(folder), max_model_len=256, dtype="float32")) as engine:
        yield engine


def test_vllm_gives_the_same_rewards(rewards_in_vllm, expected):
    responses = run(rewards_in_vllm, [*REQUESTS, RewardRequest("long", "", talk("word " * 300, "yes"))])
    assert [response.reward for response in responses[:-1]] == pytest.approx(expected, abs=1e-3)
    assert responses[-1].error == "prompt_too_long"
