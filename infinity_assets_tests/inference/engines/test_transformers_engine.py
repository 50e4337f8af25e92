"""The embedded model in transformers, in float32. One engine serves the whole module."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets.inference.engines import transformers_engine
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.engines.transformers_engine import TransformersEngine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.inference.weights.models import local_path
from infinity_assets.model_settings import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import answered, ask, bad_requests_are_errors_among_good_answers
from infinity_assets_tests.properties import examples

SPEC = ModelSpec(backend="transformers", max_model_len=512, dtype="float32")
GREEDY = Sampling(temperature=0.0, max_tokens=12)
DRAWN = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
CAPITAL = ({"role": "user", "content": "What is the capital of France?"},)
FITTING = "The capital of France is Paris."
MISFIT = "Photosynthesis turns light into sugar inside a leaf."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(models_dir):
    pool = EnginePool(models_dir)
    with pool.engine(SPEC) as engine:
        assert isinstance(engine, TransformersEngine)
        yield engine
    pool.release()


@pytest.fixture(scope="module")
def plain(models_dir):
    """Transformers as its manual has it: greedy texts and log-probabilities, one at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = local_path(SPEC, models_dir)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    class Plain:
        def tokens(self, messages):
            text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
            return tokenizer.encode(text, add_special_tokens=False)

        def greedy(self, messages, max_tokens):
            before = torch.tensor([self.tokens(messages)])
            written = model.generate(before, do_sample=False, max_new_tokens=max_tokens)[0, before.shape[1] :]
            return tokenizer.decode(written, skip_special_tokens=True)

        def logprobs(self, context, answer):
            header = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
            before = self.tokens(context) if context else header
            after = tokenizer.encode(answer, add_special_tokens=False)
            with torch.no_grad():
                found = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
            return [found[len(before) - 1 + place, token].item() for place, token in enumerate(after)]

    return Plain()


def test_generating_scoring_choosing_and_completing_in_one_call(engine):
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    answer, score, choice, structured, whole, stopped = answered(
        engine,
        [
            ask("a", messages=CAPITAL, sampling=GREEDY),
            ScoreRequest("a", "ifd", CAPITAL, FITTING),
            ask("a", "Is fire hot? Answer yes or no.", choices=("yes", "no")),
            ask("a", messages=CAPITAL, sampling=GREEDY, schema=SCHEMA),
            CompleteRequest("a", "p", "", text, GREEDY),
            CompleteRequest("a", "p", "", text, GREEDY, stop=("is Par", "never")),
        ],
    )
    assert "Paris" in (answer.text or "")
    assert (answer.error, answer.finish_reason) == (None, "stop")
    assert answer.seconds > 0
    assert (score.finish_reason, score.answer_tokens) == ("scored", 7)
    assert choice.text in ("yes", "no")
    assert math.fsum(map(math.exp, choice.choice_logprobs or ())) == pytest.approx(1)
    assert set(json.loads(structured.text or "")) == {"city"}
    assert (whole.finish_reason, "<|im_end|>" in (whole.text or "")) == ("stop", False)
    assert (stopped.text, stopped.finish_reason) == ((whole.text or "").partition("is Par")[0], "stop")


def test_greedy_is_what_the_model_writes_alone(engine, plain):
    prompts = ["Name a colour.", "What is 2 + 2?", "Say hello to a cat in one short sentence, please."]
    responses = answered(engine, [ask(prompt, prompt, sampling=GREEDY) for prompt in prompts])
    for prompt, response in zip(prompts, responses, strict=True):
        assert response.text == plain.greedy(({"role": "user", "content": prompt},), GREEDY.max_tokens)


def test_log_probabilities_are_the_models_own(engine, plain):
    cases = [(CAPITAL, FITTING), (CAPITAL, MISFIT), ((), FITTING), ((), MISFIT * 5)]
    for response, case in zip(answered(engine, [ScoreRequest("a", "ifd", *case) for case in cases]), cases, strict=True):
        expected = plain.logprobs(*case)
        assert response.answer_tokens == len(expected)
        assert response.sum_logprob == pytest.approx(math.fsum(expected), abs=1e-3 * len(expected))


def test_log_probabilities_do_not_depend_on_how_much_is_held_at_once(engine, monkeypatch):
    requests = [ScoreRequest("a", "ifd", CAPITAL, FITTING), ScoreRequest("b", "ifd", (), MISFIT)]
    at_once = [response.sum_logprob for response in answered(engine, requests)]
    monkeypatch.setattr(transformers_engine, "LOGITS", 1)
    assert [response.sum_logprob for response in answered(engine, requests)] == pytest.approx(at_once, abs=1e-3)
    monkeypatch.setattr(engine, "_head", None)  # as of a model that caps or scales its logits
    assert [response.sum_logprob for response in answered(engine, requests)] == pytest.approx(at_once, abs=1e-3)


@hypothesis_settings(max_examples=examples(3), deadline=None)
@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_a_draw_does_not_depend_on_its_company(engine, order, seed):
    one = ask("one", "Tell me a story.", sampling=DRAWN, seed=seed)
    company = [
        ask("greedy", "Hi", sampling=GREEDY),
        ask("whole", "Write about the sea, the sun and the wind.", sampling=DRAWN.model_copy(update={"top_p": 1.0}), seed=1),
        ask("schema", messages=CAPITAL, sampling=GREEDY, schema=SCHEMA),
        ask("same", "Tell me a story.", sampling=DRAWN, seed=seed),
        one,
    ]
    alone = answered(engine, [one])[0].text
    responses = answered(engine, [company[place] for place in order])
    assert {responses[order.index(place)].text for place in (3, 4)} == {alone}


def test_draws_differ_by_seed_and_by_index(engine):
    drawn = [ask(str(seed), "Tell me a story.", sampling=DRAWN, seed=seed) for seed in range(3)]
    drawn += [ask(f"i{index}", "Tell me a story.", sampling=DRAWN, index=index) for index in range(3)]
    texts = [response.text for response in answered(engine, drawn)]
    assert len(set(texts)) == len(texts)
    assert [response.text for response in answered(engine, drawn)] == texts


def test_the_nucleus_holds_what_is_drawn(engine):
    """So small a nucleus holds the most probable token alone."""
    greedy, drawn = answered(
        engine,
        [
            ask("a", "Tell me a story.", sampling=GREEDY),
            ask("a", "Tell me a story.", sampling=Sampling(temperature=1.0, top_p=1e-6, max_tokens=12), seed=3),
        ],
    )
    assert drawn.text == greedy.text


def test_draws_follow_the_models_distribution(engine):
    """Of two answers that a schema allows, the share of the first among many draws is its probability."""
    question = "How many legs does a dog have? Answer with one digit."
    shares = answered(engine, [ask("a", question, choices=("2", "4"))])[0].choice_logprobs
    assert shares is not None
    drawn = Sampling(temperature=1.0, max_tokens=2)
    texts = [r.text for r in answered(engine, [ask(str(n), question, sampling=drawn, schema={"enum": [2, 4]}, seed=n) for n in range(100)])]
    assert set(texts) == {"2", "4"}
    assert texts.count("2") / len(texts) == pytest.approx(math.exp(shares[0]), abs=0.15)  # three standard deviations


def test_choices_that_begin_alike_are_still_chosen(engine):
    choices = ("the first one", 'the "second" one')
    response = answered(engine, [ask("a", "A or B?", choices=choices)])[0]
    assert response.text in choices
    assert response.choice_logprobs is None


def test_bad_requests_are_errors_among_good_answers(engine):
    bad_requests_are_errors_among_good_answers(engine)


def test_memory_that_does_not_suffice_halves_the_batch(engine, monkeypatch):
    """The model runs out of memory with more than two rows, and cannot read one of them at all."""
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
    responses = answered(engine, [ScoreRequest(answer, "ifd", (), answer) for answer in answers])
    assert [answers[number] for number, response in enumerate(responses) if response.error] == ["poison"]
    assert responses[3].error == "engine_error"
    assert engine._batch_tokens < 1000
    rows.clear()
    answered(engine, [ScoreRequest(answer, "ifd", (), answer) for answer in answers[:3]])
    assert max(rows) <= 2


def test_what_is_not_admitted_is_not_answered(engine, monkeypatch):
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
