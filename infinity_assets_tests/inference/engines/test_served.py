"""The engine for servers against `vllm serve`, for real. One server serves the whole module: it starts for longer than all of these tests take."""

import json
import math

import pytest

from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.openai_engine import OpenAIEngine
from infinity_assets.inference.requests import CompleteRequest, ScoreRequest
from infinity_assets.inference.weights.models import local_path
from infinity_assets.model_settings import ModelSpec, Sampling
from infinity_assets_tests.inference.doubles import answered, ask
from infinity_assets_tests.inference.engines.served import processes_of, vllm_serve

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=24)
CAPITAL = ({"role": "user", "content": "What is the capital of France?"},)
FITTING = "The capital of France is Paris."
MISFIT = "Photosynthesis turns light into sugar inside a leaf."
SCORES = [ScoreRequest("a", "ifd", context, answer) for context in (CAPITAL, ()) for answer in (FITTING, MISFIT)]
DIGITS = ask("a", "How good is this answer, from 1 to 5? 'Paris.' Answer with a digit.", choices=("1", "2", "3", "4", "5"))
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "country": {"type": "string", "maxLength": 20}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(models_dir, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log.txt"
    with vllm_serve(local_path(ModelSpec(), models_dir), "--dtype", "float32", log=log) as (url, session):
        engine = OpenAIEngine(ModelSpec(backend="openai", model="m", base_url=url, max_model_len=512))
        yield engine
        engine.close()
        assert len(processes_of(session)) >= 2  # the server and its engine
    assert processes_of(session) == []


@pytest.fixture(scope="module")
def reference(models_dir):
    """By transformers, in float32: the logits of the tokens that follow a prompt, given tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = local_path(ModelSpec(), models_dir)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def logprobs(context: tuple, answer: str = ""):
        text = (
            tokenizer.apply_chat_template(list(context), tokenize=False, add_generation_prompt=True)
            if context
            else "<|im_start|>assistant\n"
        )
        before, after = (tokenizer.encode(part, add_special_tokens=False) for part in (text, answer))
        with torch.no_grad():
            rows = model(torch.tensor([before + after])).logits[0].log_softmax(-1)[len(before) - 1 :]
        return rows, after, tokenizer

    return logprobs


def test_generating_completing_and_structured_answers(engine):
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    continued = CompleteRequest("a", "p", "h", text, GREEDY, ("<|im_end|>",))
    responses = answered(
        engine,
        [
            ask("a", messages=CAPITAL, sampling=GREEDY),
            continued,
            ask("a", messages=CAPITAL, sampling=Sampling(temperature=0.0, max_tokens=64), schema=SCHEMA),
            ask("a", "Is fire hot? Answer yes or no.", choices=("yes", "no")),
            ask("a", "Which of the two?", choices=("the first", "the second")),  # both begin with the same token
        ],
    )
    assert [response.error for response in responses] == [None] * 5
    answer, continuation, structured, choice, grammar = responses
    assert "Paris" in (answer.text or "")
    assert (answer.finish_reason, answer.prompt_tokens > 20, answer.completion_tokens > 3) == ("stop", True, True)
    assert continuation.text == answer.text
    assert set(json.loads(structured.text or "")) == {"city", "country"}
    assert choice.text in ("yes", "no")
    assert grammar.text in ("the first", "the second")
    assert grammar.choice_logprobs is None


def test_a_seed_gives_one_answer(engine):
    drawn = [ask("a", "Tell me a story.", sampling=Sampling(temperature=1.0, max_tokens=16), seed=seed) for seed in (1, 1, 2)]
    first, again, other = [response.text for response in answered(engine, drawn)]
    assert first == again != other


def test_scores_are_those_of_transformers(engine, reference):
    for response, request in zip(answered(engine, SCORES), SCORES, strict=True):
        rows, after, _ = reference(request.context, request.answer)
        expected = math.fsum(rows[place, token].item() for place, token in enumerate(after))
        assert response.answer_tokens == len(after)
        assert response.sum_logprob is not None
        assert response.sum_logprob / len(after) == pytest.approx(expected / len(after), abs=1e-3)


def test_choices_have_the_log_probabilities_of_their_first_tokens(engine, reference):
    choice = answered(engine, [DIGITS])[0]
    rows, _, tokenizer = reference(DIGITS.messages)
    assert DIGITS.choices
    assert choice.choice_logprobs
    assert math.fsum(map(math.exp, choice.choice_logprobs)) == pytest.approx(1)
    firsts = [rows[0, tokenizer.encode(digit, add_special_tokens=False)[0]].item() for digit in DIGITS.choices]
    total = math.log(math.fsum(map(math.exp, firsts)))
    assert choice.choice_logprobs == pytest.approx([value - total for value in firsts], abs=1e-3)
    assert choice.text == DIGITS.choices[firsts.index(max(firsts))]


def test_what_does_not_fit_is_told_from_what_is_wrong(engine):
    long, odd = answered(
        engine, [ask("a", "word " * 2000), ask("b", messages=({"role": "wizard", "content": "?"},), sampling=Sampling(temperature=99.0))]
    )
    assert (long.error, long.window) == ("prompt_too_long", 512)
    assert odd.error == "invalid_request"


def test_a_model_that_is_not_there(engine):
    other = OpenAIEngine(engine.spec.model_copy(update={"model": "another"}))
    with pytest.raises(EngineUnavailable, match="another is not there"):
        answered(other, [ask("a")])
    other.close()


def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)did not start.*nowhere"), vllm_serve(tmp_path / "nowhere", log=tmp_path / "log"):
        pass
