"""A small reward model compared with plain transformers, and in vLLM."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets.errors import InfinityError
from infinity_assets.inference.batch import build_reward_requests
from infinity_assets.inference.client import Inference
from infinity_assets.inference.engines.chat_template import Prompting
from infinity_assets.inference.engines.engine import admit_all
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.engines.reward import TransformersReward
from infinity_assets.inference.requests import Response, RewardRequest, require_finite
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.inference.weights.models import local_path
from infinity_assets.settings.models import ModelSpec, RewardSpec
from infinity_assets_tests.inference.doubles import save_reward_model
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
    return save_reward_model(tmp_path_factory.mktemp("reward"), tokenizer_folder)


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
    """Rewards of plain transformers, one conversation at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
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
def test_rewards_equal_those_of_plain_transformers_in_any_batch(model, expected, order):
    assert len(set(expected)) == len(TALKS)
    responses = run(model, [REQUESTS[number] for number in order])
    assert [response.error for response in responses] == [None] * len(order)
    assert [response.reward for response in responses] == pytest.approx(
        [expected[number] for number in order], abs=1e-4
    )
    assert all(response.prompt_tokens > 0 for response in responses)


def test_a_model_with_a_padding_token_gives_equal_rewards(tmp_path, tokenizer_folder, expected):
    spec = RewardSpec(model=str(save_reward_model(tmp_path, tokenizer_folder, pad_token_id=7)))
    rewards = [response.reward for response in run(TransformersReward(spec, tmp_path), REQUESTS)]
    assert rewards == pytest.approx(expected, abs=1e-4)


def test_a_conversation_that_is_too_long_fails_alone(model):
    good, long = run(model, [REQUESTS[0], RewardRequest("long", "", talk("word " * 300, "yes"))])
    assert good.reward is not None
    assert (long.reward, long.error, long.window) == (None, "prompt_too_long", 256)


def test_a_conversation_rejected_by_the_template_fails_alone(model, monkeypatch):
    monkeypatch.setattr(
        model._prompting._tokenizer, "chat_template", "{{ raise_exception('no') if messages|length > 2 }}{{ messages }}"
    )
    assert [response.error for response in run(model, REQUESTS[:3])] == [None, "invalid_request", None]


@given(number=st.floats(allow_nan=True, allow_infinity=True))
def test_a_reward_or_a_score_is_finite_or_null_with_a_reason(number):
    for response in (
        require_finite(Response(reward=number)),
        require_finite(Response(sum_logprob=number, answer_tokens=1)),
    ):
        kept = response.reward if response.reward is not None else response.sum_logprob
        assert (kept is None) == (response.error == "not_finite")
        assert kept is None or math.isfinite(kept)


@pytest.mark.parametrize(("error", "value"), [("not_finite", math.nan), ("engine_error", None)])
def test_only_the_faulty_conversation_of_a_batch_fails(model, monkeypatch, error, value):
    """The head of the model gives NaN for the longest conversation, or fails in every batch with it."""
    rewards = model._rewards

    def break_longest(batch):
        longest_ones = [len(job.tokens) == longest for job in batch]
        if value is None and any(longest_ones):
            raise RuntimeError("the device coughed")
        pairs = zip(longest_ones, rewards(batch), strict=True)
        return [value if is_longest else reward for is_longest, reward in pairs]

    longest = max(len(model._prompting.encode_chat(request.messages, answering=False)) for request in REQUESTS)
    monkeypatch.setattr(model, "_rewards", break_longest)
    responses = run(model, REQUESTS)
    assert [response.error for response in responses] == [None, None, None, error]
    assert responses[3].reward is None


def test_only_admitted_requests_are_rewarded(model):
    admitted = iter([True, True, False])
    assert len(dict(model.run(REQUESTS, lambda prompt_tokens, max_tokens: next(admitted)))) == 2


@pytest.mark.parametrize("labels", [2, 5])
def test_a_model_with_several_outputs_is_rejected(tmp_path, tokenizer_folder, labels):
    save_reward_model(tmp_path, tokenizer_folder, num_labels=labels)
    with pytest.raises(InfinityError, match="not a reward model"):
        TransformersReward(RewardSpec(model=str(tmp_path)), tmp_path)


def test_a_model_without_a_head_is_rejected(tiny_model):
    """Transformers would create a random one."""
    with pytest.raises(InfinityError, match="not a reward model"):
        TransformersReward(RewardSpec(model="a chat model"), tiny_model)


def test_the_begin_of_text_token_is_not_doubled(tokenizer_folder):
    """The tokenizer adds it and the template writes it."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder)
    begin = "<|endoftext|>"
    number = tokenizer.convert_tokens_to_ids(begin)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, number)]
    )
    tokenizer.chat_template = begin + "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    assert tokenizer.encode("yes")[0] == number
    tokens = Prompting(tokenizer, 100).encode_chat(TALKS[0], answering=False)
    assert (tokens[0], tokens.count(number)) == (number, 1)


def test_rewards_are_stored_and_requested_once(tmp_path, spec, expected):
    opened = []

    class Watched(TransformersReward):
        def run(self, requests, admit=admit_all):
            opened.append(len(requests))
            return super().run(requests, admit)

    pool = EnginePool(tmp_path, engine=lambda _, models_dir: Watched(spec, local_path(spec, models_dir)))
    inference = Inference(ResponseStore(tmp_path), pool)
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "messages": [list(TALKS[0]), list(TALKS[1]), list(TALKS[0])]})
    for cached in ([False, False, True], [True, True, True]):
        answers = inference.reward(spec, build_reward_requests(rows), "reward")
        assert answers.frame["reward"].to_list() == pytest.approx([expected[0], expected[1], expected[0]], abs=1e-4)
        assert answers.frame["cached"].to_list() == cached
        assert set(answers.generations["kind"]) == {"reward"}
    assert opened == [2]
    inference.release()


@pytest.fixture
def rewards_in_vllm(engines, folder):
    """The reward model in vLLM, which closes the embedded model."""
    with engines.engine(RewardSpec(backend="vllm", model=str(folder), max_model_len=256, dtype="float32")) as engine:
        yield engine


def test_vllm_gives_equal_rewards(rewards_in_vllm, expected):
    responses = run(rewards_in_vllm, [*REQUESTS, RewardRequest("long", "", talk("word " * 300, "yes"))])
    assert [response.reward for response in responses[:-1]] == pytest.approx(expected, abs=1e-3)
    assert responses[-1].error == "prompt_too_long"
