"""Progress of long work: who does it reports numbers, who shows it decides how.

A step tells the reporter in force; by default that is a log line every ten seconds, and `infinity run` puts a live display in its place.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("infinity_assets")


class Reporter(Protocol):
    """Shows how far a step is."""

    def begin(self, asset: str, partition: str) -> None:
        """A step starts."""

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """So much of it is done. `total` is null where it is not known; `note` is said after it."""

    def end(self, rows: int, reused: bool) -> None:
        """The step is finished with so many rows, or found nothing to do."""


class LogReporter:
    """A log line every ten seconds: for the web UI's run page and for CI."""

    def __init__(self) -> None:
        self._name, self._began, self._last = "", 0.0, 0.0

    def begin(self, asset: str, partition: str) -> None:
        """Remember the step."""
        self._name, self._began = f"{asset}[{partition}]", time.monotonic()
        self._last = self._began

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Log, if the last line is ten seconds old."""
        now = time.monotonic()
        if now - self._last >= 10:
            self._last = now
            log.info("%s: %s%s", self._name, describe(done, total, unit, now - self._began), note)

    def end(self, rows: int, reused: bool) -> None:
        """Nothing: Dagster's own event says it."""


_ENOUGH = 64
"""So many done, or a twentieth of all, tell how long the rest takes. Calls in flight together end together: after the first the rate says nothing."""


def describe(done: int, total: int | None, unit: str, seconds: float) -> str:
    """`120 of 400 rows, 35/s, 0:08 left`; without the time left at the very beginning."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{done:,} {unit}" if total is None else f"{done:,} of {total:,} {unit}"
    if not rate:
        return text
    text += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"
    if total and done < total and done >= min(_ENOUGH, max(2, total / 20)):
        minutes, rest = divmod(int((total - done) / rate), 60)
        text += f", {minutes}:{rest:02d} left"
    return text


_reporter: Reporter = LogReporter()


def reporter() -> Reporter:
    """The reporter in force."""
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
