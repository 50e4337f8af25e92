"""The benchmark of a server that misbehaves, with few requests: everything but the time."""

from collections import Counter

import pytest

from infinity_assets.inference.requests import EMPTY, RETRIABLE
from infinity_assets_tests.benchmarks.chaos import ask, faults, questions
from infinity_assets_tests.inference.servers import CLEAN, Chaos

REQUESTS = questions(300)


def test_every_row_is_answered_or_has_its_class_once(tmp_path):
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


def test_the_draw_depends_on_the_request_and_the_attempt_alone():
    def fates(order) -> list[Counter[str]]:
        chaos = Chaos(seed=3)
        for request in order:
            chaos("/v1/chat/completions", {"messages": list(request.messages), "seed": request.seed}, 0)
        return [chaos.fates, chaos.asked]

    twice = [*REQUESTS, *REQUESTS]
    assert fates(twice) == fates(twice[::-1])
    shares = fates(questions(4000))[0]
    assert sum(shares[name] for name in Chaos.FAILURES) / 4000 == pytest.approx(0.2, abs=0.02)
    assert shares["stall"] / 4000 == pytest.approx(0.01, abs=0.005)
    assert shares["garbage"] / 4000 == pytest.approx(0.02, abs=0.007)
