"""Progress of long work: who does it reports numbers, who shows it decides how.

A step tells the reporter in force; by default that is a log line every ten seconds, and `infinity run` puts a live display in its place.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger("infinity_assets")


@dataclass(frozen=True)
class Expected:
    """An asset of a run, with the duration to expect if it is made."""

    asset: str
    partitions: int
    seconds: float
    """Duration of its last materialisation, all partitions together; on a first run, its duration on the sample sources."""


class Reporter(Protocol):
    """Shows how far a step is, and the run that it is part of."""

    def expect(self, assets: Sequence[Expected]) -> None:
        """Take note of all assets of the run, before the first begins."""

    def begin(self, asset: str, partition: str, count: int = 1) -> None:
        """Show that a step starts: one partition, or `count` of them side by side."""

    def starting(self, what: str) -> AbstractContextManager[None]:
        """Show that the step waits for something to start while the block runs. Rates leave that time out."""
        ...

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Show that so much of the step is done. `total` is `None` where it is not known; `note` follows the numbers."""

    def end(self, rows: int, reused: bool) -> None:
        """Show that the step is finished with so many rows, or found nothing to do."""


class LogReporter:
    """A log line every ten seconds: for the web UI's run page and for CI."""

    def __init__(self) -> None:
        self._name, self._began, self._last = "", 0.0, 0.0

    def expect(self, assets: Sequence[Expected]) -> None:
        """Do nothing: Dagster shows which steps there are."""

    def begin(self, asset: str, partition: str, count: int = 1) -> None:
        """Remember the step."""
        self._name, self._began = f"{asset}[{partition}]", time.monotonic()
        self._last = self._began

    @contextmanager
    def starting(self, what: str) -> Iterator[None]:
        """Log the duration of the block, and start the clock of the step after it."""
        began = time.monotonic()
        yield
        self._began = self._last = time.monotonic()
        log.info("%s: started %s in %.0f s", self._name, what, self._began - began)

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Log, if the last line is ten seconds old."""
        now = time.monotonic()
        if now - self._last >= 10:
            self._last = now
            log.info("%s: %s%s", self._name, describe(done, total, unit, now - self._began), note)

    def end(self, rows: int, reused: bool) -> None:
        """Do nothing: Dagster has an event of its own for it."""


_ENOUGH = 64
"""So many done, or a twentieth of all, tell how long the rest takes. Calls in flight together end together: after the first the rate says nothing."""


def describe(done: int, total: int | None, unit: str, seconds: float) -> str:
    """Return `120 of 400 rows, 35/s, 0:08 left`; without the time left at the very beginning."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    if not rate:
        return text
    text += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"
    if total and done < total and done >= min(_ENOUGH, max(2, total / 20)):
        text += f", {clock((total - done) / rate)} left"
    return text


def clock(seconds: float) -> str:
    """Return seconds as `m:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


_PRIOR = 10.0
"""Seconds of expected work that count as done exactly as expected. Without them the first short step would decide how fast the machine is."""


class Course:
    """The position of a whole run: the number of the step, the number of steps, and the time left.

    The time left is what the remaining assets are expected to take, corrected by two figures of this run: how much longer than expected the
    finished steps took, and which share of the expected work had to be done at all.

    Args:
        assets: All assets of the run.
    """

    def __init__(self, assets: Sequence[Expected]):
        self._expected = {expected.asset: expected for expected in assets}
        self._done: dict[str, int] = {}
        self._made = self._took = self._reused = 0.0

    @property
    def steps(self) -> int:
        """The number of assets of the run."""
        return len(self._expected)

    def step(self, asset: str) -> int:
        """Return the position of an asset among those that have begun, from 1. An asset that has not begun begins now."""
        self._done.setdefault(asset, 0)
        return list(self._done).index(asset) + 1

    def partitions(self, asset: str) -> int:
        """Return the number of partitions of an asset."""
        return self._expected[asset].partitions

    def knows(self, asset: str) -> bool:
        """Return whether the asset is part of the run."""
        return asset in self._expected

    def end(self, asset: str, count: int, seconds: float, reused: bool) -> bool:
        """Count partitions as finished, and return whether they were the last of their asset."""
        expected = self._expected[asset]
        share = expected.seconds * count / expected.partitions
        if reused:
            self._reused += share
        else:
            self._made += share
            self._took += seconds
        self._done[asset] = self._done.get(asset, 0) + count
        return self._done[asset] >= expected.partitions

    def seconds_left(self, elapsed: float = 0.0) -> float:
        """Return the seconds that the run is going to take, given those that the step in progress has taken."""
        remaining = sum(
            expected.seconds * (1 - min(self._done.get(asset, 0) / expected.partitions, 1))
            for asset, expected in self._expected.items()
        )
        pace = (self._took + _PRIOR) / (self._made + _PRIOR)
        stale = (self._made + _PRIOR) / (self._made + self._reused + _PRIOR)
        return max(remaining * pace * stale - elapsed, 0.0)


_reporter: Reporter = LogReporter()


def reporter() -> Reporter:
    """Return the reporter in force."""
    return _reporter


@contextmanager
def reporting_to(other: Reporter) -> Iterator[None]:
    """Put another reporter in force for a while. Steps run one after the other in a process, so one reporter is enough."""
    global _reporter
    before, _reporter = _reporter, other
    try:
        yield
    finally:
        _reporter = before
