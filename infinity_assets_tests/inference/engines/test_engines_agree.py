"""The same weights in float32 give the same numbers whichever engine runs them: a score can be compared across machines."""

import math

import numpy as np
import pytest

from infinity_assets.inference.engines.transformers_engine import TransformersEngine
from infinity_assets.inference.engines.vllm_engine import VllmEngine
from infinity_assets.inference.requests import ScoreRequest
from infinity_assets.inference.weights.models import local_path
from infinity_assets.model_settings import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import ask

SPEC = ModelSpec(max_model_len=512, dtype="float32")
CONTEXTS = [
    (),
    ({"role": "user", "content": "What is the capital of France?"},),
    ({"role": "system", "content": "You answer in one word."}, {"role": "user", "content": "2 + 2?"}),
    ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "养蜂人做什么?"}),
]
ANSWERS = ["Paris.", "4", "蜜蜂采集花蜜,把它酿成蜂蜜。", "A long one. " * 60, "def f(x):\n    return x ** 2\n"]
SCORES = [ScoreRequest("a", "ifd", context, answer) for context in CONTEXTS for answer in ANSWERS]
CHOICES = [ask("a", f"Rate it from 1 to 5: {answer}", choices=("1", "2", "3", "4", "5")) for answer in ANSWERS]
GREEDY = [
    ask("a", question, sampling=Sampling(temperature=0.0, max_tokens=16)) for question in ("What is the capital of France?", "Count to 5.")
]
TOLERANCE = 1e-3
"""Nats per token, on the mean."""


@pytest.fixture(scope="module")
def answers(models_dir):
    """Of each engine, the responses to all requests, in their order."""
    folder, given = local_path(SPEC, models_dir), {}
    for name, opener in (("vllm", VllmEngine), ("transformers", TransformersEngine)):
        engine = opener(SPEC, folder)
        found = dict(engine.run([*SCORES, *CHOICES, *GREEDY]))
        given[name] = [found[position] for position in range(len(found))]
        engine.close()
    return given


@pytest.fixture(scope="module")
def plain(models_dir):
    """By transformers alone, one row at a time: the mean log-probability of every answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = local_path(SPEC, models_dir)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    means = []
    for request in SCORES:
        context = list(request.context)
        text = tokenizer.apply_chat_template(context, tokenize=False, add_generation_prompt=True) if context else "<|im_start|>assistant\n"
        before = tokenizer.encode(text, add_special_tokens=False)
        after = tokenizer.encode(request.answer, add_special_tokens=False)
        with torch.inference_mode():
            logprobs = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
        means.append(math.fsum(logprobs[len(before) - 1 + n, token].item() for n, token in enumerate(after)) / len(after))
    return means


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_log_probabilities_are_those_of_the_weights(answers, plain, engine):
    scores = answers[engine][: len(SCORES)]
    assert [score.error for score in scores] == [None] * len(SCORES)
    means = [score.sum_logprob / score.answer_tokens for score in scores]
    assert means == pytest.approx(plain, abs=TOLERANCE)
    assert np.mean(np.abs(np.subtract(means, plain))) < TOLERANCE / 10


def test_choices_agree(answers):
    ours, theirs = (answers[engine][len(SCORES) : len(SCORES) + len(CHOICES)] for engine in ("transformers", "vllm"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.choice_logprobs == pytest.approx(other.choice_logprobs, abs=TOLERANCE)
        assert (one.text, one.prompt_tokens, one.completion_tokens) == (other.text, other.prompt_tokens, other.completion_tokens)


def test_greedy_answers_are_the_same(answers):
    ours, theirs = (answers[engine][-len(GREEDY) :] for engine in ("transformers", "vllm"))
    for one, other in zip(ours, theirs, strict=True):
        told = [(r.text, r.finish_reason, r.prompt_tokens, r.completion_tokens) for r in (one, other)]
        assert told[0] == told[1]
