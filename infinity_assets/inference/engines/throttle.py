"""Limits on the calls to a server: calls in flight, calls and tokens per minute, and the duration of a call.

All classes are used on one event loop and are not thread-safe.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["answered", "failed", "overloaded"]
"""Outcome of a call. `overloaded` stands for the HTTP statuses 429 and 503, and for time-outs."""

START = 32
"""Initial limit on calls in flight."""
VERDICT = 16
"""Minimum number of outcomes for a meaningful share of overloaded calls."""
ALARM = 8
"""Number of overloaded calls after which their share is evaluated at once."""
WINDOW = 64
"""Number of outcomes after which the noise is estimated anew, and earlier outcomes count half."""
FORGETTING = 0.98
"""Minimum factor by which a new estimate lowers the noise."""
LEAST_NOISE = 0.1
"""Noise that is always assumed: the share of calls that a server rejects regardless of the number of calls."""
MOST_NOISE = 0.3
"""Maximum share of rejected calls that can be attributed to noise."""
BARREN = 10
"""All calls pause after this many consecutive failures, or after as many as the limit if that is more."""
UNKNOWN = 0.5  # seconds that an answer is assumed to take, until the first one arrives
PAUSE = 0.5  # seconds; doubled with every further pause
LONGEST_PAUSE = 30.0  # seconds


class Ticket(NamedTuple):
    """A slot for one call in flight."""

    cuts: int
    """Number of cuts of the limit before the slot was taken."""
    at: float
    """Time at which the slot was taken, in seconds of the monotonic clock."""


class AdaptiveLimit:
    """A limit on calls in flight with additive increase and multiplicative decrease (AIMD, Chiu and Jain 1989).

    The limit lies between 1 and `most`, and starts at 32. Each time it is reached, it grows for one round trip. Before
    the first cut, and later up to three quarters of the limit before the last cut, it grows by one with every answer,
    so it doubles per round trip. Above that, it grows by one or an eighth per round trip, whichever is more.

    When the server rejects calls, the limit is halved, at most once per round trip: calls sent before a cut do not
    count against the new limit. But servers also fail at random (noise), and then fewer calls only bring fewer answers.
    So one rejected call in ten is always tolerated, and a cut requires three standard deviations more. Every cut is a
    trial. If half the calls do not reduce the rejected share to a third, that share is considered noise: the old limit
    is restored, and only a share well above this noise leads to another cut.

    A failure counts only after the usual duration of an answer, because immediate failures would seem too frequent. If
    more than three calls in ten are rejected, their slots stay empty for that time, too. If a whole round of calls
    brings no answer, all calls pause. Each pause is twice as long as the last, or as long as the server asks.

    The limit grows even if throughput does not: requests in the server's queue do no harm, and a plateau cannot be
    distinguished from scatter in the lengths of answers.
    """

    def __init__(self, most: int):
        self.most = most
        self.limit = float(min(START, most))
        self.in_flight = 0
        self.usual_seconds = 0.0
        """Usual duration of an answer, in seconds; 0 before the first one."""
        self._kept_empty = 0
        self._cuts = 0
        self._doubling = True
        self._cut_at = 0.0
        self._growing = 0
        """Number of further answers that raise the limit: those of one round trip after the limit was reached."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seen = self._overloaded = 0.0
        self._noise = LEAST_NOISE
        self._trial: tuple[float, float, bool] | None = None
        """During the trial of a cut: the limit and the rejected share before it, and true if the limit was doubling."""
        self._rejected_share = 0.0
        """Moving average of the share of overloaded calls."""
        self._barren = self._pauses = 0
        self._closed_until = 0.0

    async def enter(self, urgent: bool = False) -> Ticket:
        """Wait for a free slot and take it, urgent callers first. The caller must release it with `leave`."""
        if self._waiting or not self._room():
            turn = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if urgent else self._waiting.append)(turn)
            self._admit()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.in_flight -= 1
                    self._admit()
                raise
        else:
            self._take_place()
        return Ticket(self._cuts, time.monotonic())

    def leave(self, ticket: Ticket, outcome: Outcome | None, retry_after: float = 0.0) -> None:
        """Release a slot and count the outcome of its call. The outcome of an abandoned call is None."""
        self.in_flight -= 1
        self._growing -= 1
        if outcome is not None:
            seconds = time.monotonic() - ticket.at
            self._rejected_share += ((outcome == "overloaded") - self._rejected_share) / VERDICT
            if outcome == "answered":
                self._barren = self._pauses = 0
                self._evaluate(ticket, False)
                self.usual_seconds += (seconds - self.usual_seconds) / (16 if self.usual_seconds else 1)
                if self._growing >= 0 and self._trial is None:
                    step = 1.0 if self._doubling or self.limit < 0.75 * self._cut_at else max(1 / self.limit, 1 / 8)
                    self.limit = min(self.most, self.limit + step)
            else:
                self._pause_if_barren(retry_after)
                overloaded = outcome == "overloaded"
                keep_empty = overloaded and self._rejected_share > MOST_NOISE
                self._kept_empty += keep_empty
                rest = max(0.0, (self.usual_seconds or UNKNOWN) - seconds)
                asyncio.get_running_loop().call_later(rest, self._count_failure, ticket, overloaded, keep_empty)
        self._admit()

    @property
    def answering(self) -> bool:
        """Return whether the server has answered any of the latest calls."""
        return self._barren < BARREN and not self._pauses

    def _take_place(self) -> None:
        self.in_flight += 1
        if self.in_flight >= int(self.limit):
            self._growing = self.in_flight

    def _room(self) -> bool:
        return self.in_flight + self._kept_empty < int(self.limit) and time.monotonic() >= self._closed_until

    def _admit(self) -> None:
        while self._waiting and self._room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._take_place()
                turn.set_result(None)

    def _pause_if_barren(self, retry_after: float) -> None:
        self._barren += 1
        if self._barren >= max(BARREN, self.limit):
            pause = max(min(PAUSE * 2**self._pauses, LONGEST_PAUSE), retry_after)
            self._closed_until = max(self._closed_until, time.monotonic() + pause)
            asyncio.get_running_loop().call_later(self._closed_until - time.monotonic(), self._admit)
            self._barren = 0
            self._pauses += 1

    def _count_failure(self, ticket: Ticket, overloaded: bool, kept_empty: bool) -> None:
        self._kept_empty -= kept_empty
        self._evaluate(ticket, overloaded)
        self._admit()

    def _evaluate(self, ticket: Ticket, overloaded: bool) -> None:
        if ticket.cuts < self._cuts:
            return
        self._seen += 1
        self._overloaded += overloaded
        enough = VERDICT if self._trial is None else max(VERDICT, min(self.limit, WINDOW))
        if self._seen < enough and self._overloaded < ALARM:
            return
        share = self._overloaded / self._seen
        expected = self._noise * self._seen
        if self._trial is not None:
            limit, before, doubling = self._trial
            self._trial = None
            if before / 3 < share <= MOST_NOISE and before <= MOST_NOISE + 0.1:
                self._noise = min((before + share) / 2, MOST_NOISE)
                self.limit = limit
                self._doubling = doubling
                self._seen = self._overloaded = 0.0
                return
        if overloaded and self._overloaded > expected + 3 * math.sqrt(expected):
            self._trial = (self.limit, share, self._doubling)
            self._cut_at = self.limit
            self.limit = max(1.0, self.limit / 2)
            self._doubling = False
            self._cuts += 1
            self._seen = self._overloaded = 0.0
        elif self._seen >= WINDOW:
            self._noise = max(LEAST_NOISE, min(self._noise, share), self._noise * FORGETTING)
            self._seen /= 2
            self._overloaded /= 2


class Bucket:
    """A token bucket that spreads an allowance per minute evenly.

    It holds the allowance of a tenth of a second, but at least 1. A larger amount can be taken when the bucket is full.
    The level is then negative, and the next caller waits until the bucket has refilled.
    """

    def __init__(self, per_minute: int):
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate / 10)
        self._level = self._most
        self._at = time.monotonic()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until earlier callers are served and the amount is available, and take it."""
        async with self._turn:
            while (lacking := min(amount, self._most) - self._refilled()) > 1e-9:
                await asyncio.sleep(lacking / self._rate)
            self._level -= amount

    def give(self, amount: float) -> None:
        """Return an unused amount to the bucket. A negative amount is taken from it."""
        self._level = min(self._most, self._refilled() + amount)

    def _refilled(self) -> float:
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level


class Quota:
    """A server's limits on calls and tokens per minute.

    A call takes the tokens of its prompt and an estimate for its answer: its maximum answer tokens times the share of
    them that earlier calls used on average. The usage that the server reports corrects the estimate afterwards.
    """

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None):
        self._requests = Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute) if tokens_per_minute else None
        self._share = 1.0
        self._counted = 0

    async def take(self, prompt_tokens: int, max_tokens: int) -> float:
        """Wait until a call may be sent, and return the number of tokens taken for it."""
        if self._requests:
            await self._requests.take(1)
        taken = prompt_tokens + self._share * max_tokens
        if self._tokens:
            await self._tokens.take(taken)
        return taken

    def settle(self, taken: float, prompt_tokens: int, completion_tokens: int, max_tokens: int) -> None:
        """Replace the number of tokens taken for a call by the usage that the server reported."""
        self._counted += 1
        self._share += (min(completion_tokens / max_tokens, 1.0) - self._share) / min(self._counted, 50)
        if self._tokens:
            self._tokens.give(taken - prompt_tokens - completion_tokens)


class Pace:
    """The time after which a call is late and is made a second time, in parallel.

    Durations are divided by a call's weight: its maximum answer tokens plus a sixteenth of its prompt tokens. A call is
    late after twice the 99th percentile of the last 512 durations. As long as there are fewer than 100, it is late
    after ten times the longest. The time is at least `FLOOR` seconds and at most `timeout`, and `timeout` before the
    first answer. Second calls are rationed to one in twenty answers (Dean and Barroso, The Tail at Scale, 2013), so
    that an overloaded server does not get twice as many calls.
    """

    FLOOR = 0.25
    RATION = 0.05
    SAVED = 8.0

    def __init__(self, timeout: float):
        self._timeout = timeout
        self._latest: deque[float] = deque(maxlen=512)
        self._unit = math.inf
        self._answers = 0
        self._known = 0
        self._ration = 2.0

    def add(self, weight: float, seconds: float) -> None:
        """Record the duration of an answered call."""
        self._latest.append(seconds / weight)
        self._ration = min(self.SAVED, self._ration + self.RATION)
        self._answers += 1

    def late_after(self, weight: float) -> float:
        """Return the number of seconds after which a call of the given weight is late."""
        if self._answers > self._known and (self._answers < 100 or self._answers >= self._known + 16):
            self._known = self._answers
            ordered = sorted(self._latest)
            self._unit = 10 * ordered[-1] if len(ordered) < 100 else 2 * ordered[int(0.99 * len(ordered))]
        return min(max(self.FLOOR, self._unit * weight), self._timeout)

    def allow_second_call(self) -> bool:
        """Return whether a second call may be made. If so, it is counted against the ration."""
        if self._ration < 1:
            return False
        self._ration -= 1
        return True


def back_off(failures: int, first: float, longest: float, jitter: Callable[[], float]) -> float:
    """Return the seconds to wait after a number of failures: doubled each time, then randomly reduced by up to half."""
    return min(longest, first * 2 ** (failures - 1)) * (0.5 + 0.5 * jitter())
