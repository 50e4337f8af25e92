"""Nothing is asked twice, nothing is lost, and no answer reaches the wrong row."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference import client
from infinity_assets.inference.client import ANSWERS, Inference, Progress
from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Response, ScoreRequest, failed, room_of
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.rows.schema import GENERATIONS
from infinity_assets.settings.models import EmbedderSpec, Retries, Sampling
from infinity_assets_tests.inference.doubles import SPEC, ScriptedEngine, ask, echo
from infinity_assets_tests.properties import examples

REQUESTS = [ask(f"r{number}") for number in range(20)]


@pytest.fixture
def store(tmp_path):
    return ResponseStore(tmp_path)


def texts(answers) -> dict[str, str | None]:
    return dict(answers.frame.select("row_id", "text").iter_rows())


def test_answers_come_in_request_order_and_belong_to_their_rows(store):
    answers = Inference(store, ScriptedEngine().pool()).generate(SPEC, REQUESTS, "stage")
    assert answers.frame.schema == ANSWERS
    assert answers.frame["row_id"].to_list() == [request.row_id for request in REQUESTS]
    assert texts(answers) == {f"r{number}": f"question r{number}" for number in range(20)}
    assert answers.generations.schema == GENERATIONS
    assert answers.generations["request_key"].equals(answers.frame["key"].alias("request_key"))


def test_a_second_run_opens_no_engine(store):
    first = Inference(store, ScriptedEngine().pool()).generate(SPEC, REQUESTS, "stage")
    engine = ScriptedEngine()
    second = Inference(store, engine.pool()).generate(SPEC, REQUESTS[::-1], "stage")
    assert engine.opened == 0
    assert texts(second) == texts(first)
    assert not first.frame["cached"].any()
    assert second.frame["cached"].all()


def test_only_what_is_missing_is_asked(store):
    Inference(store, ScriptedEngine().pool()).generate(SPEC, REQUESTS[:15], "stage")
    engine = ScriptedEngine()
    Inference(store, engine.pool()).generate(SPEC, REQUESTS, "stage")
    assert {request.row_id for request in engine.asked} == {f"r{number}" for number in range(15, 20)}


def test_equal_requests_are_asked_once(store):
    engine = ScriptedEngine()
    answers = Inference(store, engine.pool()).generate(
        SPEC, [ask("a", "same"), ask("b", "same"), ask("c", "other")], "stage"
    )
    assert len(engine.asked) == 2
    assert texts(answers) == {"a": "same", "b": "same", "c": "other"}
    assert answers.generations["cached"].to_list() == [False, True, False]


def test_no_requests_give_no_answers(store):
    engine = ScriptedEngine()
    answers = Inference(store, engine.pool()).generate(SPEC, [], "stage")
    assert (answers.frame.schema, answers.frame.height, engine.opened) == (ANSWERS, 0, 0)


def test_one_bad_request_is_one_error_row_and_is_asked_again(store):
    def answer(request):
        return failed("engine_error", "the device coughed") if request.row_id == "r7" else echo(request)

    frame = Inference(store, ScriptedEngine(answer).pool()).generate(SPEC, REQUESTS, "stage").frame
    assert frame.filter(pl.col("error").is_not_null()).select("row_id", "error", "cause").rows() == [
        ("r7", "engine_error", "the device coughed")
    ]
    engine = ScriptedEngine()
    assert Inference(store, engine.pool()).generate(SPEC, REQUESTS, "stage").frame["error"].null_count() == 20
    assert [request.row_id for request in engine.asked] == ["r7"]


def test_a_crash_loses_only_what_is_in_flight(store, monkeypatch):
    monkeypatch.setattr(client, "FLUSH_ANSWERS", 4)
    answered: list[str] = []

    def answer(request):
        if len(answered) == 10:
            raise KeyboardInterrupt
        answered.append(request.row_id)
        return echo(request)

    dying = ScriptedEngine(answer)
    with pytest.raises(KeyboardInterrupt):
        Inference(store, dying.pool()).generate(SPEC, REQUESTS, "stage")
    assert dying.closed == 1
    engine = ScriptedEngine()
    Inference(store, engine.pool()).generate(SPEC, REQUESTS, "stage")
    assert {request.row_id for request in engine.asked} == {request.row_id for request in REQUESTS} - set(answered)


def test_a_dead_engine_ends_the_stage_and_not_the_data(store):
    def answer(request):
        return echo(request) if request.row_id == "r5" else failed("engine_error", "out of memory")

    requests = [ask(f"r{number}") for number in range(60)]
    with pytest.raises(EngineUnavailable, match=r"16 errors in a row.*out of memory"):
        Inference(store, ScriptedEngine(answer).pool()).generate(SPEC, requests, "stage")
    again = ScriptedEngine()
    Inference(store, again.pool()).generate(SPEC, requests, "stage")
    assert len(again.asked) == 59


def test_a_server_that_is_not_there_ends_a_small_stage_too(store):
    engine = ScriptedEngine(lambda _: failed("connection", "refused"))
    with pytest.raises(EngineUnavailable, match=r"was not reached.*refused"):
        Inference(store, engine.pool()).generate(SPEC, REQUESTS[:2], "stage")


@pytest.mark.parametrize(
    ("changes", "text", "error"),
    [
        ({"schema": {"type": "object"}}, '{"a": 1}', None),
        ({"schema": {"type": "object"}}, '{"a": ', "truncated"),
        ({"schema": {"type": "object", "required": ["b"]}}, '{"a": 1}', "truncated"),
        ({"choices": ("1", "2")}, "2", None),
        ({"choices": ("1", "2")}, "3", "invalid_choice"),
        ({}, " \n", "empty"),
        ({}, "fine", None),
    ],
)
def test_output_is_checked_stored_and_not_asked_again(store, changes, text, error):
    request = ask("a", **changes)
    script = ScriptedEngine(lambda _: Response(text=text, finish_reason="length"))
    frame = Inference(store, script.pool()).generate(SPEC, [request], "stage").frame
    assert frame.select("text", "error").row(0) == (text, error)
    engine = ScriptedEngine()
    assert Inference(store, engine.pool()).generate(SPEC, [request], "stage").frame["error"].to_list() == [error]
    assert engine.opened == 0


def test_a_larger_window_asks_again_what_was_too_long(store):
    small, large = SPEC.model_copy(update={"max_model_len": 10}), SPEC.model_copy(update={"max_model_len": 20})
    too_long = ScriptedEngine(lambda _: failed("prompt_too_long", "11 tokens", window=10))
    for _ in range(2):
        assert Inference(store, too_long.pool()).generate(small, REQUESTS[:1], "s").frame["error"].to_list() == [
            "prompt_too_long"
        ]
    assert len(too_long.asked) == 1
    for spec, expected in ((large, "question r0"), (small, None)):
        assert texts(Inference(store, ScriptedEngine().pool()).generate(spec, REQUESTS[:1], "s")) == {"r0": expected}
    assert too_long.opened == 1


def writing(words: int, room: int) -> GenerateRequest:
    """A request whose answer has that many words, if it may have them."""
    return ask("a", f"{words} words", sampling=Sampling(temperature=0.0, max_tokens=room))


def in_the_room(request):
    words = int(request.messages[0]["content"].split()[0])
    written = min(words, request.sampling.max_tokens)
    return Response("w " * written, "length" if words > written else "stop", prompt_tokens=2, completion_tokens=written)


@given(
    st.lists(st.tuples(st.sampled_from([3, 4, 9]), st.sampled_from([2, 3, 4, 8])), min_size=1, max_size=12),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=examples(40))
def test_every_answer_is_what_would_be_written_now_and_only_what_was_cut_is_asked_again(asked, size):
    """Whatever was asked with other max_tokens before, in whatever batches."""
    with tempfile.TemporaryDirectory() as folder:
        store, engine = ResponseStore(Path(folder)), ScriptedEngine(in_the_room)
        for start in range(0, len(asked), size):
            batch = [writing(words, room) for words, room in asked[start : start + size]]
            frame = Inference(store, engine.pool()).generate(SPEC, batch, "s").frame
            assert frame["text"].to_list() == [in_the_room(request).text for request in batch]
        assert len(engine.asked) == len(
            {(words, room) for words, room in asked if words > room} | ended_first(asked, size)
        )


def ended_first(asked, size) -> set[tuple[int, int]]:
    """Of the requests that were answered in full, those that nothing before their batch had answered."""
    found: set[tuple[int, int]] = set()
    for start in range(0, len(asked), size):
        whole = {(words, room) for words, room in asked[start : start + size] if words <= room}
        found |= {pair for pair in whole if pair[0] not in {words for words, _ in found}}
    return found


def test_a_prompt_that_was_too_long_may_fit_with_fewer_tokens_to_write(store):
    engine = ScriptedEngine(
        lambda request: failed("prompt_too_long", "no", window=2048) if room_of(request) > 4 else echo(request)
    )
    errors = [
        Inference(store, engine.pool()).generate(SPEC, [writing(1, room)], "s").frame["error"].item()
        for room in (5, 6, 4, 6)
    ]
    assert errors == ["prompt_too_long", "prompt_too_long", None, "prompt_too_long"]
    assert len(engine.asked) == 2


def test_the_answer_that_another_process_stored_first_is_the_one(store):
    """Both ask; both end with the same."""

    def slower(request):
        Inference(store, ScriptedEngine().pool()).generate(SPEC, [request], "s")
        return Response(text="later", finish_reason="stop")

    assert texts(Inference(store, ScriptedEngine(slower).pool()).generate(SPEC, REQUESTS[:2], "s")) == {
        "r0": "question r0",
        "r1": "question r1",
    }


def test_another_attempt_is_another_question(store):
    engine = ScriptedEngine()
    Inference(store, engine.pool()).generate(SPEC, [REQUESTS[0], replace(REQUESTS[0], attempt=1)], "s")
    assert len(engine.asked) == 2


def test_scores(store):
    requests = [ScoreRequest(f"r{n}", "loss", (), "word " * (n + 1)) for n in range(5)]

    def answer(request):
        assert isinstance(request, ScoreRequest)
        return Response(finish_reason="scored", sum_logprob=-1.0, answer_tokens=len(request.answer.split()))

    frame = Inference(store, ScriptedEngine(answer).pool()).score(SPEC, requests, "stage").frame
    assert frame["answer_tokens"].to_list() == [1, 2, 3, 4, 5]
    assert frame["prompt"].unique().to_list() == ["loss"]


def test_the_pool_keeps_one_engine_and_closes_it_for_another():
    engine = ScriptedEngine()
    pool = engine.pool()
    for spec in (SPEC, SPEC.model_copy(), replace_model("other"), SPEC):
        with pool.engine(spec):
            pass
    assert (engine.opened, engine.closed) == (3, 2)
    pool.release()
    assert (engine.opened, engine.closed) == (3, 3)


def replace_model(model: str):
    return SPEC.model_copy(update={"model": model})


def test_progress_counts_what_was_there(store):
    seen: list[Progress] = []
    Inference(store, ScriptedEngine().pool()).generate(SPEC, REQUESTS[:5], "stage")
    Inference(store, ScriptedEngine().pool(), seen.append).generate(SPEC, REQUESTS, "answers")
    assert seen[0] == Progress("answers", 5, 20, 5, 0)
    assert seen[-1]._replace(seconds=0.0) == Progress("answers", 20, 20, 5, 30)
    assert seen[-1].seconds > 0


class Lengths:
    """Embeds a text as its length and its first letter."""

    def __init__(self):
        self.asked: list[str] = []

    def encode(self, texts):
        self.asked.extend(texts)
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)

    def close(self):
        pass


def test_vectors_come_in_text_order_and_are_asked_once(store, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "EMBED_CHUNK", 2)
    double = Lengths()
    inference = Inference(store, EnginePool(tmp_path, embedder=lambda *_: double))
    words = ["bbb", "a", "cc", "a", "dddd", "ee"]
    vectors = inference.embed(EmbedderSpec(), words, "stage")
    assert vectors.dtype == np.float32
    assert vectors[:, 0].tolist() == [3, 1, 2, 1, 4, 2]
    assert sorted(double.asked) == sorted(set(words))
    assert np.array_equal(inference.embed(EmbedderSpec(), words[::-1], "stage"), vectors[::-1])
    assert len(double.asked) == 5
    assert inference.embed(EmbedderSpec(), [], "stage").shape == (0, 0)


def test_another_draw_is_another_question(store):
    draws = [replace(REQUESTS[0], index=index) for index in range(3)]
    engine = ScriptedEngine()
    assert Inference(store, engine.pool()).generate(SPEC, draws, "stage").frame["index"].to_list() == [0, 1, 2]
    assert len(engine.asked) == 3


class Flaky:
    """Answers badly the first so many times that a row is asked, well after that."""

    def __init__(self, bad: Response, times: int):
        self.bad, self.times, self.seen = bad, times, []

    def __call__(self, request):
        self.seen.append(request)
        tries = sum(other.row_id == request.row_id for other in self.seen)
        good = Response(text='{"a": 1}', finish_reason="stop", prompt_tokens=3, completion_tokens=2)
        return self.bad if tries <= self.times else good


JSON = {"schema": {"type": "object", "required": ["a"]}, "sampling": Sampling(temperature=0.0, max_tokens=8)}
CUT, EMPTY, MISFIT, REFUSED = (
    Response(text='{"a": ', finish_reason="length", completion_tokens=8),
    Response(text=" ", finish_reason="stop"),
    Response(text='{"b": 1}', finish_reason="stop"),
    failed("refused", "the filter"),
)


@pytest.mark.parametrize(
    ("bad", "error"), [(CUT, "truncated"), (EMPTY, "empty"), (MISFIT, "invalid_json"), (REFUSED, "refused")]
)
@pytest.mark.parametrize("allowed", [0, 1, 2])
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_each_class_has_a_retry_rule_of_its_own(store, bad, error, allowed, times):
    names = {"truncated": "truncated", "empty": "empty", "invalid_json": "invalid", "refused": "refused"}
    retries = Retries(**{**dict.fromkeys(names.values(), 0), names[error]: allowed})
    flaky = Flaky(bad, times)
    engine = ScriptedEngine(flaky)
    answers = Inference(store, engine.pool(), retries=retries).generate(
        SPEC, [ask("a", **JSON), ask("b", **JSON)], "stage"
    )
    asked = min(times, allowed) + 1
    assert answers.frame["error"].to_list() == [None if times <= allowed else error] * 2
    assert len(flaky.seen) == 2 * asked
    books = answers.generations.filter(pl.col("row_id") == "a").sort("attempt")
    assert books["attempt"].to_list() == list(range(asked))
    assert books["error"].is_null().to_list() == [False] * min(times, asked) + [True] * (asked - min(times, asked))
    # A replay asks nothing and gives the same.
    again = ScriptedEngine()
    replay = Inference(store, again.pool(), retries=retries).generate(
        SPEC, [ask("a", **JSON), ask("b", **JSON)], "stage"
    )
    assert again.opened == 0
    assert replay.frame.drop("cached").equals(answers.frame.drop("cached"))


def test_an_answer_is_drawn_again_by_another_seed_and_a_cut_one_with_more_room(store):
    flaky = Flaky(MISFIT, 1)
    Inference(store, ScriptedEngine(flaky).pool()).generate(SPEC, [ask("a", **JSON)], "stage")
    first, second = flaky.seen
    assert (first.seed, first.sampling.temperature, second.attempt) == (None, 0.0, 1)
    assert second.seed is not None
    assert second.sampling.temperature == Retries().temperature
    flaky = Flaky(CUT, 1)
    Inference(store, ScriptedEngine(flaky).pool()).generate(SPEC, [ask("b", "other", **JSON)], "stage")
    assert [request.sampling.max_tokens for request in flaky.seen] == [8, 16]
    assert flaky.seen[1].seed is None


def test_bad_luck_at_the_second_attempt_leaves_the_first_answer_and_is_counted(store):
    seen = []

    def answer(request):
        seen.append(request)
        return MISFIT if len(seen) == 1 else failed("timeout", "slow")

    answers = Inference(store, ScriptedEngine(answer).pool()).generate(
        SPEC,
        [
            ask("a", **JSON),
        ],
        "stage",
    )
    assert answers.frame["error"].to_list() == ["invalid_json"]
    assert [error.partition(":")[0] for error in answers.generations["error"]] == ["invalid_json", "timeout"]


def test_more_room_asks_again_neither_what_ended_nor_its_other_attempts(store):
    """An answer that did not fit its schema was drawn again: that stays, whatever max_tokens becomes."""
    engine = ScriptedEngine(
        lambda request: Response("{}" if not request.attempt else '{"a": 1}', "stop", completion_tokens=3)
    )  # pyright: ignore
    for room in (8, 64, 4):
        request = ask("a", **{**JSON, "sampling": Sampling(temperature=0.0, max_tokens=room)})
        frame = Inference(store, engine.pool(), retries=Retries(invalid=1)).generate(SPEC, [request], "s").frame
        assert frame["text"].item() == '{"a": 1}'
    assert len(engine.asked) == 2


def test_a_server_that_takes_no_request_ends_the_stage_and_leaves_nothing_behind(store):
    engine = ScriptedEngine(lambda _: failed("invalid_request", "unknown field"))
    with pytest.raises(EngineUnavailable, match=r"takes none of 20 requests.*unknown field"):
        Inference(store, engine.pool()).generate(SPEC, REQUESTS, "stage")
    assert Inference(store, ScriptedEngine().pool()).generate(SPEC, REQUESTS, "stage").frame["error"].null_count() == 20


def test_a_request_that_is_invalid_among_good_ones_is_an_answer(store):
    engine = ScriptedEngine(
        lambda request: failed("invalid_request", "no") if request.row_id == "r3" else echo(request)
    )
    Inference(store, engine.pool()).generate(SPEC, REQUESTS, "stage")
    again = ScriptedEngine()
    assert Inference(store, again.pool()).generate(SPEC, REQUESTS, "stage").frame["error"].count() == 1
    assert again.opened == 0
    assert (
        store.forget(["invalid_request"], dry_run=True),
        store.forget(["invalid_request"]),
        store.forget(["invalid_request"]),
    ) == (
        1,
        1,
        0,
    )
    assert Inference(store, again.pool()).generate(SPEC, REQUESTS, "stage").frame["error"].count() == 0
