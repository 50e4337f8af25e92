"""A clock that costs no time, for what is about waiting: outcomes then depend on no machine and no load."""

import asyncio
import selectors
import time
from collections.abc import Awaitable
from typing import Any

import pytest


class _NoWaiting(selectors.SelectSelector):
    """Moves the clock instead of waiting."""

    clock: "Clock"

    def select(self, timeout: float | None = None) -> Any:
        self.clock.now += timeout or 0.0
        return super().select(0)


class Clock:
    """A loop and a `time.monotonic` that agree on a time which passes at once."""

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
