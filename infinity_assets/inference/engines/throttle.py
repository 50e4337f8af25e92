"""How many calls a server gets at once, how many in a minute, and how long one of them may take.

All of it lives on one event loop: nothing here is safe for several threads.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["answered", "failed", "overloaded"]
"""How a call ended; overloaded are 429, 503 and time-outs."""

START = 32
"""Calls in flight at the beginning."""
VERDICT, ALARM = 16, 8
"""Outcomes after which a share of overloaded ones means something, and overloaded ones that need no further evidence."""
WINDOW, FORGETTING = 64, 0.98
"""Outcomes that are looked at together, and how much of the noise stays at least when there was less in them."""
LEAST_NOISE, MOST_NOISE = 0.1, 0.3
"""The share of calls that is always taken to be turned away for reasons that have nothing to do with their number, and what never is."""
BARREN = 10
"""Outcomes in a row without an answer, and as many as there may be calls in flight, after which nobody calls for a while."""
UNKNOWN = 0.5  # seconds that an answer takes, while there is none
PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds; doubled each time


class Ticket(NamedTuple):
    """A place among the calls in flight."""

    cuts: int
    """How often the limit had been cut when it was taken."""
    at: float


class AdaptiveLimit:
    """The number of calls in flight: additive increase, multiplicative decrease (AIMD, Chiu and Jain 1989), between 1 and `most`.

    It begins at 32 and, whenever it is used up, grows for a round-trip: by one with every answer, so that it doubles, until it has been cut;
    then so up to three quarters of where it was cut, and from there by one or an eighth in a round-trip. When the server turns calls away it
    is halved, once per round-trip: calls that were sent before the cut say nothing about it. But servers also fail at random, and then fewer
    calls bring fewer answers and nothing else. So one call in ten may always be turned away, and a cut needs three standard deviations more
    than that and is on trial: if the share that is turned away does not fall to a third when the calls are halved, it is taken for this
    server's noise, the limit is what it was, and only a share well above that cuts again. A failure counts when an answer would have come, or
    those that come at once would seem to be many. Where nearly every third call is turned away, their places are kept empty as long. When a
    round of calls brings no answer at all, everybody waits, twice as long each time, or as long as the server says.

    That throughput has stopped growing is no reason to stop: what waits in the server's queue does no harm, and a plateau cannot be told
    from the scatter of the answers' lengths.
    """

    def __init__(self, most: int):
        self.most = most
        self.limit = float(min(START, most))
        self.in_flight = 0
        self._kept_empty = 0
        self._cuts = 0
        self._doubling = True
        self._cut_at = 0.0
        self._growing = 0
        """Answers that the limit still grows with: those of a round-trip after it was used up."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seen = self._overloaded = 0.0
        self._noise = LEAST_NOISE
        self._trial: tuple[float, float, bool] | None = None
        """While a cut is on trial: the limit and the share before it, and whether the limit was doubling."""
        self._usual_seconds = 0.0
        self._turned_away = 0.0
        """The share of the latest outcomes."""
        self._barren = self._pauses = 0
        self._closed_until = 0.0
        self._opening: asyncio.TimerHandle | None = None

    async def enter(self, urgent: bool = False) -> Ticket:
        """Wait for a place; who is urgent is served first. Every place that is taken is given back by `leave`."""
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
        """Give the place back. No outcome means that the call was given up: it says nothing about the server."""
        self.in_flight -= 1
        self._growing -= 1
        if outcome is not None:
            self._count_barren(outcome, retry_after)
            seconds = time.monotonic() - ticket.at
            self._turned_away += ((outcome == "overloaded") - self._turned_away) / VERDICT
            if outcome == "answered":
                self._judge(ticket, outcome)
                self._usual_seconds += (seconds - self._usual_seconds) / (16 if self._usual_seconds else 1)
                if self._growing >= 0 and self._trial is None:
                    step = 1.0 if self._doubling or self.limit < 0.75 * self._cut_at else max(1 / self.limit, 1 / 8)
                    self.limit = min(self.most, self.limit + step)
            else:
                rest = max(0.0, (self._usual_seconds or UNKNOWN) - seconds)
                asyncio.get_running_loop().call_later(rest, self._judge, ticket, outcome)
                if outcome == "overloaded" and self._turned_away > MOST_NOISE:
                    self._kept_empty += 1
                    asyncio.get_running_loop().call_later(rest, self._free)
        self._admit()

    @property
    def answering(self) -> bool:
        """Whether the server has lately answered anything."""
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
        closed = self._closed_until - time.monotonic()
        if self._waiting and closed > 0 and self._opening is None:
            self._opening = asyncio.get_running_loop().call_later(closed, self._open)

    def _open(self) -> None:
        self._opening = None
        self._admit()

    def _free(self) -> None:
        self._kept_empty -= 1
        self._admit()

    def _count_barren(self, outcome: Outcome, retry_after: float) -> None:
        if outcome == "answered":
            self._barren = self._pauses = 0
            return
        self._barren += 1
        if self._barren >= max(BARREN, self.limit):
            pause = max(min(PAUSE * 2**self._pauses, LONGEST_PAUSE), retry_after)
            self._closed_until = max(self._closed_until, time.monotonic() + pause)
            self._barren, self._pauses = 0, self._pauses + 1

    def _judge(self, ticket: Ticket, outcome: Outcome) -> None:
        if ticket.cuts < self._cuts:
            return
        self._seen += 1
        self._overloaded += outcome == "overloaded"
        enough = VERDICT if self._trial is None else max(VERDICT, min(self.limit, WINDOW))
        if self._seen < enough and self._overloaded < ALARM:
            return
        share, expected = self._overloaded / self._seen, self._noise * self._seen
        if self._trial is not None:
            limit, before, doubling = self._trial
            self._trial = None
            if before / 3 < share <= MOST_NOISE and before <= MOST_NOISE + 0.1:
                self._noise, self.limit, self._doubling = min((before + share) / 2, MOST_NOISE), limit, doubling
                self._seen = self._overloaded = 0.0
                return
        if outcome == "overloaded" and self._overloaded > expected + 3 * math.sqrt(expected):
            self._trial = (self.limit, share, self._doubling)
            self._cut_at, self.limit = self.limit, max(1.0, self.limit / 2)
            self._doubling = False
            self._cuts += 1
            self._seen = self._overloaded = 0.0
        elif self._seen >= WINDOW:
            self._noise = max(LEAST_NOISE, min(self._noise, share), self._noise * FORGETTING)
            self._seen, self._overloaded = self._seen / 2, self._overloaded / 2


class Bucket:
    """So much in a minute, evenly: a token bucket that holds a tenth of a second's worth. What is larger than that leaves a debt."""

    def __init__(self, per_minute: int):
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate / 10)
        self._level, self._at = self._most, time.monotonic()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until so much may be taken, in the order of asking, and take it."""
        async with self._turn:
            while (lacking := min(amount, self._most) - self._refilled()) > 1e-9:
                await asyncio.sleep(lacking / self._rate)
            self._level -= amount

    def give(self, amount: float) -> None:
        """Give back what was not used; less than nothing is taken as well."""
        self._level = min(self._most, self._refilled() + amount)

    def _refilled(self) -> float:
        now = time.monotonic()
        self._level, self._at = min(self._most, self._level + (now - self._at) * self._rate), now
        return self._level


class Quota:
    """The server's limits on calls and on tokens per minute.

    A call takes the tokens of its prompt and, of the most that it may write, the share that calls have written so far; what the server then
    says it used corrects that.
    """

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None):
        self._requests = Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute) if tokens_per_minute else None
        self._share = 1.0
        self._counted = 0

    async def take(self, prompt_tokens: int, max_tokens: int) -> float:
        """Wait until a call may be sent. Returns the tokens that it was taken for."""
        if self._requests:
            await self._requests.take(1)
        taken = prompt_tokens + self._share * max_tokens
        if self._tokens:
            await self._tokens.take(taken)
        return taken

    def used(self, taken: float, prompt_tokens: int, completion_tokens: int, max_tokens: int) -> None:
        """The usage that the server reported for a call."""
        self._counted += 1
        self._share += (min(completion_tokens / max_tokens, 1.0) - self._share) / min(self._counted, 50)
        if self._tokens:
            self._tokens.give(taken - prompt_tokens - completion_tokens)


class Pace:
    """How long a call may take before it is asked a second time beside the first.

    Seconds are counted per unit of a call's weight: the most tokens that it may write, and its prompt's tokens at a sixteenth. A call is late
    after twice the 99th percentile of the last 512 answers, or, with fewer than 100 of them, ten times the slowest; never before
    `FLOOR`, and while there is no answer after `timeout`. Second calls are rationed to one in twenty answers (Dean and Barroso, The Tail at
    Scale, 2013), so that a server that is slow because it has too much to do does not get twice as much.
    """

    FLOOR = 0.25
    RATION = 0.05
    SAVED = 8.0

    def __init__(self, timeout: float):
        self._timeout = timeout
        self._latest: deque[float] = deque(maxlen=512)
        self._seconds: deque[float] = deque(maxlen=64)
        self._unit, self._answers, self._known = math.inf, 0, 0
        self._ration = 2.0

    def add(self, weight: float, seconds: float) -> None:
        """An answer that took so long."""
        self._latest.append(seconds / weight)
        self._seconds.append(seconds)
        self._ration = min(self.SAVED, self._ration + self.RATION)
        self._answers += 1

    def late_after(self, weight: float) -> float:
        """Seconds."""
        if self._answers > self._known and (self._answers < 100 or self._answers >= self._known + 16):
            self._known, ordered = self._answers, sorted(self._latest)
            self._unit = 10 * ordered[-1] if len(ordered) < 100 else 2 * ordered[int(0.99 * len(ordered))]
        return min(max(self.FLOOR, self._unit * weight), self._timeout)

    def second_call(self) -> bool:
        """Whether a second call may be made, which is then counted."""
        if self._ration < 1:
            return False
        self._ration -= 1
        return True

    @property
    def typical(self) -> float:
        """Seconds of a recent answer; half a second while there is none."""
        return sorted(self._seconds)[len(self._seconds) // 2] if self._seconds else 0.5


def back_off(failures: int, first: float, longest: float, jitter: Callable[[], float]) -> float:
    """Seconds to wait after so many failures: twice as long each time, and between half and all of it."""
    return min(longest, first * 2 ** (failures - 1)) * (0.5 + 0.5 * jitter())
