"""The benchmark of a misbehaving server with few requests: everything except its duration."""

import asyncio
import queue

import pytest

from infinity_assets.inference.engines import openai_api
from infinity_assets.inference.engines.engine import admit_all
from infinity_assets.inference.engines.openai_engine import OpenAIEngine
from infinity_assets.inference.engines.openai_server import NoReply
from infinity_assets.inference.requests import EMPTY, RETRIABLE
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.benchmarks.chaos import ask, faults, questions
from infinity_assets_tests.inference.engines.clock import Clock
from infinity_assets_tests.inference.engines.servers import CLEAN, Chaos

REQUESTS = questions(300)


def test_every_row_has_one_answer_or_one_class_of_error(tmp_path):
    outcome = ask(REQUESTS, tmp_path, 32, latency=0.02, seed=1)
    assert faults(REQUESTS, outcome) == []
    assert outcome.frame["error"].null_count() > 0.99 * len(REQUESTS)
    assert set(outcome.frame["error"].drop_nulls()) <= RETRIABLE | {EMPTY}
    assert sorted(outcome.stored["key"]) == sorted(
        outcome.frame.filter(~outcome.frame["error"].is_in(list(RETRIABLE)).fill_null(False))["key"]
    )
    assert {*Chaos.FAILURES, "stall", "garbage", "answered"} == set(outcome.fates)
    again = ask(REQUESTS, tmp_path, 32, **CLEAN)
    assert again.fates["answered"] == outcome.frame["error"].is_in(list(RETRIABLE)).sum()


def seconds(clock: Clock, requests, chaos: Chaos) -> float:
    """Measure the simulated time of the engine with a script in place of the server."""
    engine = OpenAIEngine(ModelSpec(backend="openai", concurrency=64))

    async def answer(request):
        reply = chaos("/v1/chat/completions", {"messages": list(request.messages), "seed": request.seed}, 0)
        await asyncio.sleep(10**6 if reply.fate == "stall" else reply.after + 0.001)
        if reply.fate == "reset":
            raise NoReply("connection", "reset")
        if reply.status != 200:
            raise openai_api.Rejected(reply.status, "try again")
        if isinstance(reply.body, str):
            raise NoReply("bad_reply", reply.body)
        return openai_api.read(reply.body)

    engine._model.answer = answer
    answers: queue.SimpleQueue = queue.SimpleQueue()
    began = clock.now
    clock.run(engine._ask_all(requests, admit_all, answers))
    engine.close()
    responses = dict(answers.get() for _ in range(answers.qsize()))
    assert {position: response.text for position, response in responses.items()} == {
        n: r.messages[-1]["content"] for n, r in enumerate(requests)
    }
    return clock.now - began


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_throughput_stays_close_to_that_of_a_good_server(monkeypatch, seed):
    """With 2,000 requests of a second each and 64 in flight, 0.7 is required; at best 0.8 of calls are answered."""
    clock, requests = Clock(monkeypatch), questions(2000)
    clean = seconds(clock, requests, Chaos(latency=1.0, failing=0.0, stalling=0.0, garbage=0.0))
    assert clean < 2000 / 64 + 4
    assert clean / seconds(clock, requests, Chaos(latency=1.0, seed=seed)) > 0.7
