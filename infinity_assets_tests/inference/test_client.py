"""No request is sent twice, no answer is lost, and none reaches the wrong row."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.inference import client
from infinity_assets.inference.client import ANSWERS, Answers, Inference, Progress
from infinity_assets.inference.engines.engine import EngineMisconfigured, EngineUnavailable
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import GenerateRequest, Request, Response, ScoreRequest, make_failure, room_of
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.rows.schema import GENERATIONS
from infinity_assets.settings.models import EmbedderSpec, Retries, Sampling
from infinity_assets_tests.inference.doubles import SPEC, Lengths, ScriptedEngine, ask, echo
from infinity_assets_tests.properties import examples

REQUESTS = [ask(f"r{number}") for number in range(20)]


@pytest.fixture
def store(tmp_path):
    return ResponseStore(tmp_path)


def generate(store, engine, requests, **settings) -> Answers:
    return Inference(store, engine.pool(), **settings).generate(SPEC, requests, "stage")


def texts(answers) -> dict[str, str | None]:
    return dict(answers.frame.select("row_id", "text").iter_rows())


def test_answers_come_in_request_order_and_belong_to_their_rows(store):
    answers = generate(store, ScriptedEngine(), REQUESTS)
    assert answers.frame.schema == ANSWERS
    assert answers.frame["row_id"].to_list() == [request.row_id for request in REQUESTS]
    assert texts(answers) == {f"r{number}": f"question r{number}" for number in range(20)}
    assert answers.generations.schema == GENERATIONS
    assert answers.generations["request_key"].equals(answers.frame["key"].alias("request_key"))


def test_a_second_run_opens_no_engine(store):
    first = generate(store, ScriptedEngine(), REQUESTS)
    engine = ScriptedEngine()
    second = generate(store, engine, REQUESTS[::-1])
    assert engine.opened == 0
    assert texts(second) == texts(first)
    assert not first.frame["cached"].any()
    assert second.frame["cached"].all()


def test_equal_requests_are_sent_once(store):
    engine = ScriptedEngine()
    answers = generate(store, engine, [ask("a", "same"), ask("b", "same"), ask("c", "other")])
    assert len(engine.asked) == 2
    assert texts(answers) == {"a": "same", "b": "same", "c": "other"}
    assert answers.generations["cached"].to_list() == [False, True, False]


def test_no_requests_give_no_answers(store):
    engine = ScriptedEngine()
    answers = generate(store, engine, [])
    assert (answers.frame.schema, answers.frame.height, engine.opened) == (ANSWERS, 0, 0)


def test_one_bad_request_is_one_error_row_and_is_asked_again(store):
    def answer(request):
        return make_failure("engine_error", "the device coughed") if request.row_id == "r7" else echo(request)

    frame = generate(store, ScriptedEngine(answer), REQUESTS).frame
    assert frame.filter(pl.col("error").is_not_null()).select("row_id", "error", "cause").rows() == [
        ("r7", "engine_error", "the device coughed")
    ]
    engine = ScriptedEngine()
    assert generate(store, engine, REQUESTS).frame["error"].null_count() == 20
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
        generate(store, dying, REQUESTS)
    assert dying.closed == 1
    engine = ScriptedEngine()
    generate(store, engine, REQUESTS)
    assert {request.row_id for request in engine.asked} == {request.row_id for request in REQUESTS} - set(answered)


def test_a_dead_engine_ends_the_stage_and_keeps_the_answers(store):
    def answer(request):
        return echo(request) if request.row_id == "r5" else make_failure("engine_error", "out of memory")

    requests = [ask(f"r{number}") for number in range(60)]
    with pytest.raises(EngineUnavailable, match=r"16 errors in a row.*out of memory"):
        generate(store, ScriptedEngine(answer), requests)
    again = ScriptedEngine()
    generate(store, again, requests)
    assert len(again.asked) == 59


def test_an_unreachable_server_ends_a_small_stage_too(store):
    engine = ScriptedEngine(lambda _: make_failure("connection", "refused"))
    with pytest.raises(EngineUnavailable, match=r"cannot be reached.*refused"):
        generate(store, engine, REQUESTS[:2])


@pytest.mark.parametrize(
    ("changes", "text", "error"),
    [
        ({"schema": {"type": "object"}}, '{"a": 1}', None),
        ({"schema": {"type": "object"}}, '{"a": ', "truncated"),
        ({"schema": {"type": "object", "required": ["b"]}}, '{"a": 1}', "truncated"),
        ({"choices": ("1", "2")}, "2", None),
        ({"choices": ("1", "2")}, "3", "invalid_choice"),
        ({}, " \n", "truncated"),
        ({}, "fine", None),
    ],
)
def test_output_is_checked_stored_and_not_asked_again(store, changes, text, error):
    request = ask("a", **changes)
    script = ScriptedEngine(lambda _: Response(text=text, finish_reason="length"))
    frame = generate(store, script, [request]).frame
    assert frame.select("text", "error").row(0) == (text, error)
    engine = ScriptedEngine()
    assert generate(store, engine, [request]).frame["error"].to_list() == [error]
    assert engine.opened == 0


def test_a_larger_window_repeats_requests_that_were_too_long(store):
    small, large = SPEC.model_copy(update={"max_model_len": 10}), SPEC.model_copy(update={"max_model_len": 20})
    too_long = ScriptedEngine(lambda _: make_failure("prompt_too_long", "11 tokens", window=10))
    for _ in range(2):
        assert Inference(store, too_long.pool()).generate(small, REQUESTS[:1], "s").frame["error"].to_list() == [
            "prompt_too_long"
        ]
    assert len(too_long.asked) == 1
    for spec, expected in ((large, "question r0"), (small, None)):
        assert texts(Inference(store, ScriptedEngine().pool()).generate(spec, REQUESTS[:1], "s")) == {"r0": expected}
    assert too_long.opened == 1


def request_words(words: int, room: int) -> GenerateRequest:
    """Build a request whose answer has that many words if there is room."""
    return ask("a", f"{words} words", sampling=Sampling(temperature=0.0, max_tokens=room))


def answer_within_room(request):
    words = int(request.messages[0]["content"].split()[0])
    written = min(words, request.sampling.max_tokens)
    return Response("w " * written, "length" if words > written else "stop", prompt_tokens=2, completion_tokens=written)


@given(
    st.lists(st.tuples(st.sampled_from([3, 4, 9]), st.sampled_from([2, 3, 4, 8])), min_size=1, max_size=12),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=examples(40))
def test_stored_answers_equal_new_ones_and_only_cut_ones_are_repeated(asked, size):
    """That is true for all earlier requests with other max_tokens, in any batches."""
    with tempfile.TemporaryDirectory() as folder:
        store, engine = ResponseStore(Path(folder)), ScriptedEngine(answer_within_room)
        for start in range(0, len(asked), size):
            batch = [request_words(words, room) for words, room in asked[start : start + size]]
            frame = generate(store, engine, batch).frame
            assert frame["text"].to_list() == [answer_within_room(request).text for request in batch]
        assert len(engine.asked) == len(
            {(words, room) for words, room in asked if words > room} | complete_answers(asked, size)
        )


def complete_answers(asked, size) -> set[tuple[int, int]]:
    """Return the requests with a complete answer for which no earlier batch had stored one."""
    first: set[tuple[int, int]] = set()
    for start in range(0, len(asked), size):
        whole = {(words, room) for words, room in asked[start : start + size] if words <= room}
        first |= {pair for pair in whole if pair[0] not in {words for words, _ in first}}
    return first


def test_a_prompt_that_was_too_long_may_fit_with_fewer_tokens_to_write(store):
    engine = ScriptedEngine(
        lambda request: make_failure("prompt_too_long", "no", window=2048) if room_of(request) > 4 else echo(request)
    )
    errors = [generate(store, engine, [request_words(1, room)]).frame["error"].item() for room in (5, 6, 4, 6)]
    assert errors == ["prompt_too_long", "prompt_too_long", None, "prompt_too_long"]
    assert len(engine.asked) == 2


def test_the_answer_that_another_process_stored_first_wins(store):
    """Both processes ask and get equal answers."""

    def slower(request):
        generate(store, ScriptedEngine(), [request])
        return Response(text="later", finish_reason="stop")

    assert texts(generate(store, ScriptedEngine(slower), REQUESTS[:2])) == {"r0": "question r0", "r1": "question r1"}


def test_scores_belong_to_their_rows(store):
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
    for spec in (SPEC, SPEC.model_copy(), SPEC.model_copy(update={"model": "other"}), SPEC):
        with pool.engine(spec):
            pass
    assert (engine.opened, engine.closed) == (3, 2)
    pool.release()
    assert (engine.opened, engine.closed) == (3, 3)


def test_progress_counts_stored_answers(store):
    seen: list[Progress] = []
    generate(store, ScriptedEngine(), REQUESTS[:5])
    generate(store, ScriptedEngine(), REQUESTS, progress=seen.append)
    assert seen[0] == Progress("stage", 5, 20, 5, 0)
    assert seen[-1]._replace(seconds=0.0) == Progress("stage", 20, 20, 5, 30)
    assert seen[-1].seconds > 0


def test_vectors_come_in_text_order_and_are_computed_once(store, tmp_path, monkeypatch):
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


def test_another_draw_is_another_request(store):
    draws = [replace(REQUESTS[0], index=index) for index in range(3)]
    engine = ScriptedEngine()
    assert generate(store, engine, draws).frame["index"].to_list() == [0, 1, 2]
    assert len(engine.asked) == 3


class Flaky:
    """An engine function that answers a row badly a number of times, and then well."""

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
    make_failure("refused", "the filter"),
)


@pytest.mark.parametrize(
    ("bad", "error"), [(CUT, "truncated"), (EMPTY, "empty"), (MISFIT, "invalid_json"), (REFUSED, "refused")]
)
@pytest.mark.parametrize("allowed", [0, 1, 2])
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_each_class_of_error_has_its_own_retries(store, bad, error, allowed, times):
    names = {"truncated": "truncated", "empty": "empty", "invalid_json": "invalid", "refused": "refused"}
    retries = Retries(**{**dict.fromkeys(names.values(), 0), names[error]: allowed})
    flaky = Flaky(bad, times)
    engine = ScriptedEngine(flaky)
    answers = generate(store, engine, [ask("a", **JSON), ask("b", **JSON)], retries=retries)
    asked = min(times, allowed) + 1
    assert answers.frame["error"].to_list() == [None if times <= allowed else error] * 2
    assert len(flaky.seen) == 2 * asked
    generations = answers.generations.filter(pl.col("row_id") == "a").sort("attempt")
    assert generations["attempt"].to_list() == list(range(asked))
    assert generations["error"].is_null().to_list() == [False] * min(times, asked) + [True] * (
        asked - min(times, asked)
    )
    # A replay asks nothing and gives equal answers.
    again = ScriptedEngine()
    replay = generate(store, again, [ask("a", **JSON), ask("b", **JSON)], retries=retries)
    assert again.opened == 0
    assert replay.frame.drop("cached").equals(answers.frame.drop("cached"))


def test_a_retry_has_another_seed_or_more_room_if_the_answer_was_cut(store):
    flaky = Flaky(MISFIT, 1)
    generate(store, ScriptedEngine(flaky), [ask("a", **JSON)])
    first, second = flaky.seen
    assert (first.seed, first.sampling.temperature, second.attempt) == (None, 0.0, 1)
    assert second.seed is not None
    assert second.sampling.temperature == Retries().temperature
    flaky = Flaky(CUT, 1)
    generate(store, ScriptedEngine(flaky), [ask("b", "other", **JSON)])
    assert [request.sampling.max_tokens for request in flaky.seen] == [8, 16]
    assert flaky.seen[1].seed is None


def test_a_transient_error_of_a_retry_keeps_the_first_answer_and_is_counted(store):
    seen = []

    def answer(request):
        seen.append(request)
        return MISFIT if len(seen) == 1 else make_failure("timeout", "slow")

    answers = generate(store, ScriptedEngine(answer), [ask("a", **JSON)])
    assert answers.frame["error"].to_list() == ["invalid_json"]
    assert [error.partition(":")[0] for error in answers.generations["error"]] == ["invalid_json", "timeout"]


def test_more_room_repeats_neither_complete_answers_nor_their_retries(store):
    """The retry of an answer that violated its schema stays valid for any later max_tokens."""

    def answer(request: Request) -> Response:
        assert isinstance(request, GenerateRequest)
        return Response('{"a": 1}' if request.attempt else "{}", "stop", completion_tokens=3)

    engine = ScriptedEngine(answer)
    for room in (8, 64, 4):
        request = ask("a", **{**JSON, "sampling": Sampling(temperature=0.0, max_tokens=room)})
        frame = generate(store, engine, [request], retries=Retries(invalid=1)).frame
        assert frame["text"].item() == '{"a": 1}'
    assert len(engine.asked) == 2


def test_a_server_that_rejects_all_requests_ends_the_stage_and_stores_nothing(store):
    engine = ScriptedEngine(lambda _: make_failure("invalid_request", "unknown field"))
    with pytest.raises(EngineUnavailable, match=r"rejects all 20 requests.*unknown field"):
        generate(store, engine, REQUESTS)
    assert generate(store, ScriptedEngine(), REQUESTS).frame["error"].null_count() == 20


def test_an_invalid_request_among_good_ones_is_stored(store):
    engine = ScriptedEngine(
        lambda request: make_failure("invalid_request", "no") if request.row_id == "r3" else echo(request)
    )
    generate(store, engine, REQUESTS)
    again = ScriptedEngine()
    assert generate(store, again, REQUESTS).frame["error"].count() == 1
    assert again.opened == 0
    assert [store.forget(["invalid_request"], dry_run) for dry_run in (True, False, False)] == [1, 1, 0]
    assert generate(store, again, REQUESTS).frame["error"].count() == 0


@pytest.mark.parametrize(
    "response", [Response(text="", finish_reason="stop"), Response(text=None, finish_reason="length", reasoning="hm")]
)
def test_a_set_without_a_usable_answer_ends_early(store, response):
    requests = [ask(f"r{n}", f"question {n}") for n in range(200)]
    engine = ScriptedEngine(lambda _: response)
    with pytest.raises(
        EngineMisconfigured, match=r"none of the first 64 answers of .* can be used, the last: (empty|truncated)"
    ):
        generate(store, engine, requests)
    assert len(engine.asked) == 64
    some = ScriptedEngine(lambda request: Response(text="fine") if request.row_id.endswith("7") else response)
    others = [ask(f"r{n}", f"another question {n}") for n in range(200)]
    assert generate(store, some, others).frame["error"].null_count() == 20
