"""The limits alone, with simulated servers on a simulated clock."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from infinity_assets.inference.engines.throttle import (
    START,
    AdaptiveLimit,
    Bucket,
    Outcome,
    Pace,
    Quota,
    Ticket,
    back_off,
)
from infinity_assets_tests.inference.engines.clock import Clock


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


async def work(limit: AdaptiveLimit, calls: int, serve: Callable[[], Awaitable[Outcome]]) -> int:
    """Make calls through a limit, and return the largest number in flight."""
    most = 0

    async def call(ticket: Ticket) -> None:
        nonlocal most
        most = max(most, limit.in_flight)
        limit.leave(ticket, await serve())

    async with asyncio.TaskGroup() as group:
        for _ in range(calls):
            group.create_task(call(await limit.enter()))
    assert limit.in_flight == 0
    return most


@pytest.mark.parametrize("most", [1, 3, 16, 64, 500])
def test_a_good_server_gets_the_largest_number_of_calls(clock, most):
    async def serve() -> Outcome:
        await asyncio.sleep(1.0)
        return "answered"

    limit = AdaptiveLimit(most)
    began = clock.now
    assert clock.run(work(limit, 40 * most, serve)) == most
    assert limit.limit == most
    assert clock.now - began < 40 + 8  # forty round trips, and those in which the limit grows


@pytest.mark.parametrize("capacity", [1, 4, 20, 50])
def test_the_limit_settles_near_the_capacity(clock, capacity):
    """The limit settles near the server's capacity: most of it is used, and few calls are rejected."""
    at_once = answered = refused = 0

    async def serve() -> Outcome:
        nonlocal at_once, answered, refused
        if at_once >= capacity:
            refused += 1
            await asyncio.sleep(0.02)
            return "overloaded"
        at_once += 1
        await asyncio.sleep(1.0)
        at_once -= 1
        answered += 1
        return "answered"

    limit = AdaptiveLimit(64)
    began = clock.now
    clock.run(work(limit, 4000, serve))
    assert answered / (clock.now - began) > 0.5 * capacity
    assert refused < (0.6 if capacity == 1 else 0.3) * (answered + refused)


@pytest.mark.parametrize(("share", "kept"), [(0.01, 0.9), (0.08, 0.85), (0.2, 0.65)])
def test_random_failures_do_not_reduce_the_throughput(clock, share, kept):
    draw = random.Random(share)

    async def serve() -> Outcome:
        await asyncio.sleep(1.0)
        return "overloaded" if draw.random() < share else "answered"

    began = clock.now
    clock.run(work(AdaptiveLimit(64), 64 * 60, serve))
    assert clock.now - began < 60 / kept


def test_a_round_trip_halves_the_limit_once(clock):
    async def main() -> None:
        limit = AdaptiveLimit(64)
        tickets = [await limit.enter() for _ in range(START)]
        for ticket in tickets:
            limit.leave(ticket, "overloaded")
        await asyncio.sleep(10)
        assert limit.limit == START / 2

    clock.run(main())


def test_a_server_that_is_down_is_called_ever_less(clock):
    calls: list[float] = []

    async def serve() -> Outcome:
        calls.append(clock.now)
        await asyncio.sleep(0.001)
        return "failed"

    began = clock.now
    clock.run(work(AdaptiveLimit(16), 400, serve))
    assert clock.now - began > 120
    for second in range(10, 120):
        assert sum(began + second <= call < began + second + 1 for call in calls) <= 32


def test_urgent_callers_come_first_and_cancelled_ones_take_no_place(clock):
    order: list[str] = []

    async def enter(limit: AdaptiveLimit, name: str, urgent: bool = False) -> None:
        ticket = await limit.enter(urgent)
        order.append(name)
        limit.leave(ticket, None)

    async def main() -> None:
        limit = AdaptiveLimit(1)
        ticket = await limit.enter()
        calls = [
            asyncio.create_task(enter(limit, name, name == "urgent")) for name in ("first", "gone", "second", "urgent")
        ]
        await asyncio.sleep(1)
        calls[1].cancel()
        limit.leave(ticket, "answered")
        await asyncio.gather(*calls, return_exceptions=True)
        assert order == ["urgent", "first", "second"]
        assert limit.in_flight == 0

    clock.run(main())


@pytest.mark.parametrize("per_minute", [1, 30, 600, 90_000])
def test_a_bucket_spreads_its_amount_evenly(clock, per_minute):
    """No period exceeds its share by more than a tenth of a second's amount."""
    taken: list[float] = []

    async def main() -> None:
        bucket = Bucket(per_minute)
        for _ in range(100):
            await bucket.take(1)
            taken.append(clock.now)

    clock.run(main())
    for number, at in enumerate(taken):
        for later in (1, 10, 50):
            if number + later < len(taken):
                stretch = taken[number + later] - at
                assert later <= stretch * per_minute / 60 + max(1.0, per_minute / 600) + 1e-6
    assert taken[-1] - taken[0] == pytest.approx(99 * 60 / per_minute, rel=0.02, abs=0.1)


def test_the_quota_counts_the_reported_usage(clock):
    """Calls may write 1,000 tokens but write 100: a limit of 60,000 a minute admits five of them a second."""

    async def main() -> float:
        quota = Quota(None, 60_000)
        began = clock.now
        for _ in range(600):
            taken = await quota.take(100, 1000)
            quota.settle(taken, 100, 100, 1000)
        return clock.now - began

    assert clock.run(main()) == pytest.approx(120, rel=0.1)


def test_a_call_is_late_after_a_multiple_of_the_usual_duration():
    pace = Pace(timeout=600)
    assert pace.late_after(100) == 600
    pace.add(100, 1.0)
    assert pace.late_after(100) == 10
    assert pace.late_after(1000) == 100
    for number in range(1000):
        pace.add(100, 1.0 + number % 10 / 10)
    assert pace.late_after(100) == pytest.approx(2 * 1.9)
    assert pace.late_after(1) == Pace.FLOOR
    assert pace.late_after(10**6) == 600
    assert sum(pace.allow_second_call() for _ in range(100)) == Pace.SAVED


def test_back_off_doubles_within_its_bounds():
    draw = random.Random(0)
    for failures in range(1, 10):
        waits = [back_off(failures, 0.5, 8.0, draw.random) for _ in range(100)]
        whole = min(8.0, 0.5 * 2 ** (failures - 1))
        assert whole / 2 <= min(waits) < max(waits) <= whole
