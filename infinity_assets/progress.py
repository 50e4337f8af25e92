"""Progress of long-running work: steps report numbers to the current reporter, which displays them.

The default reporter logs a line every ten seconds; `infinity run` replaces it with a live display.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

log = logging.getLogger("infinity_assets")


@dataclass(frozen=True)
class Expected:
    """An asset of a run and its expected duration."""

    asset: str
    partitions: int
    seconds: float
    """Time that all partitions took in the last run. In a first run: their time for the sample sources."""


class Reporter:
    """A display of the progress of a run and its steps. This base class displays nothing."""

    def expect(self, assets: Sequence[Expected]) -> None:
        """Register all assets of the run, before the first begins."""

    def begin(self, asset: str, partition: str, count: int = 1) -> None:
        """Show that a step begins with one partition, or with `count` partitions in parallel."""

    def show_startup(self, what: str) -> AbstractContextManager[None]:
        """Show that the step waits for `what` to start while the `with` block runs. Rates exclude this time."""
        return nullcontext()

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Show how much of the step is done. `total` is `None` if unknown. `note` is shown after the numbers."""

    def end(self, rows: int, reused: bool) -> None:
        """Show that the step has finished, with its number of rows, and whether these were reused."""


class LogReporter(Reporter):
    """Reporter that logs a line every ten seconds, for the run page of the web UI and for CI."""

    def __init__(self) -> None:
        self._name = ""
        self._began = self._last = 0.0

    def begin(self, asset: str, partition: str, count: int = 1) -> None:
        """Start the clock of the step."""
        self._name = f"{asset}[{partition}]"
        self._began = self._last = time.monotonic()

    @contextmanager
    def show_startup(self, what: str) -> Iterator[None]:
        """Log the duration of the `with` block, then restart the clock of the step."""
        began = time.monotonic()
        yield
        self._began = self._last = time.monotonic()
        log.info("%s: started %s in %.0f s", self._name, what, self._began - began)

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Log a line if ten seconds have passed since the last one."""
        now = time.monotonic()
        if now - self._last >= 10:
            self._last = now
            log.info("%s: %s%s", self._name, describe(done, total, unit, now - self._began), note)


_ENOUGH = 64
"""Number of finished items (or a twentieth of all, if that is fewer) from which the time left is shown. Earlier, the
rate means nothing, because concurrent calls end together."""


def describe(done: int, total: int | None, unit: str, seconds: float) -> str:
    """Return a message like `120 of 400 rows, 35/s, 0:08 left`. At the beginning it has no time left."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    if not rate:
        return text
    text += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"
    if total and done < total and done >= min(_ENOUGH, max(2, total / 20)):
        text += f", {format_clock((total - done) / rate)} left"
    return text


def format_clock(seconds: float) -> str:
    """Format a duration as `m:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


_PRIOR = 10.0
"""Seconds of imaginary work done in exactly the expected time. They keep a first short step from deciding the pace."""


class Course:
    """Progress of a run: the number of the current step, the number of steps, and the time left.

    The time left is the expected duration of the remaining assets, times two factors measured on the finished steps:
    the ratio of actual to expected time, and the share of the expected work that was not reused.
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
        """Return the position of an asset, from 1, in the order in which assets begin. The first call begins it."""
        self._done.setdefault(asset, 0)
        return list(self._done).index(asset) + 1

    def partitions(self, asset: str) -> int:
        """Return the number of partitions of an asset."""
        return self._expected[asset].partitions

    def includes(self, asset: str) -> bool:
        """Return whether the asset is part of the run."""
        return asset in self._expected

    def end(self, asset: str, count: int, seconds: float, reused: bool) -> bool:
        """Record that `count` partitions have finished, and return whether all partitions of the asset have."""
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
        """Estimate the remaining seconds of the run. `elapsed` are the seconds since the current step began."""
        remaining = sum(
            expected.seconds * (1 - min(self._done.get(asset, 0) / expected.partitions, 1))
            for asset, expected in self._expected.items()
        )
        pace = (self._took + _PRIOR) / (self._made + _PRIOR)
        stale = (self._made + _PRIOR) / (self._made + self._reused + _PRIOR)
        return max(remaining * pace * stale - elapsed, 0.0)


_reporter: Reporter = LogReporter()


def reporter() -> Reporter:
    """Return the current reporter."""
    return _reporter


@contextmanager
def use_reporter(other: Reporter) -> Iterator[None]:
    """Use another reporter in a `with` block, for the whole process, whose steps run one after the other."""
    global _reporter
    before, _reporter = _reporter, other
    try:
        yield
    finally:
        _reporter = before
