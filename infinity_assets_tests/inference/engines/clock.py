"""A simulated clock for tests of waiting, so that outcomes do not depend on the machine or its load."""

import asyncio
import selectors
import time
from collections.abc import Awaitable
from typing import Any

import pytest


class _NoWaiting(selectors.SelectSelector):
    """A selector that advances the clock instead of waiting."""

    clock: "Clock"

    def select(self, timeout: float | None = None) -> Any:
        self.clock.now += timeout or 0.0
        return super().select(0)


class Clock:
    """Simulated time for an event loop and `time.monotonic`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def run(self, main: Awaitable) -> Any:
        selector = _NoWaiting()
        selector.clock = self
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: self.now
        try:
            return loop.run_until_complete(main)
        finally:
            loop.close()
