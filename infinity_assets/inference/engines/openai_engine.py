"""Any server that speaks OpenAI's API. Generating works with all of them; scores use what `vllm serve` adds to it, choices where it is there.

Here is when calls are made, and made again; `openai_server` makes one.
"""

import asyncio
import concurrent.futures
import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from infinity_assets.inference.engines.chat_template import beginning
from infinity_assets.inference.engines.engine import Admit, EngineUnavailable, always
from infinity_assets.inference.engines.openai_api import Rejected
from infinity_assets.inference.engines.openai_server import NoReply, ServedModel
from infinity_assets.inference.engines.throttle import AdaptiveLimit, Outcome, Pace, Quota, Ticket, back_off
from infinity_assets.inference.requests import (
    RETRIABLE,
    TIMEOUT,
    CompleteRequest,
    Request,
    Response,
    ScoreRequest,
    failed,
    most_tokens,
)
from infinity_assets.settings.models import ModelSpec

Jitter: TypeAlias = Callable[[], float]
"""Draws from [0, 1)."""

ATTEMPTS = 10
"""Calls for one request. With the waits between them about half a minute, or what the server asks for."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 8.0  # seconds; the first is longer where the server has too much to do
LONGEST_RETRY_AFTER = 120.0  # seconds; a server that wants more is asked again by the next run
BESIDE = 3
"""Calls for one request that may be under way together, because the earlier ones are late."""
PATIENCE = 3
"""A call that is late by this many times what it had is made again even if the ration of such calls is used up."""
LOOK = 0.5
"""Seconds between two looks at whether a call is late."""
WAITING = 1024
"""Requests that are in flight or wait to be tried again; no new one is begun before one of them has ended."""
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class _Tried:
    """How one call for a request ended."""

    response: Response
    overloaded: bool = False
    retry_after: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.response.error not in RETRIABLE:
            return "answered"
        return "overloaded" if self.overloaded else "failed"


class OpenAIEngine:
    """A model on a server. The requests in flight live on an event loop in a thread of their own; `admit` is called there."""

    def __init__(self, spec: ModelSpec, attempts: int = ATTEMPTS):
        self.spec = spec
        self._attempts = attempts
        self._model = ServedModel(spec)
        self._limit = AdaptiveLimit(spec.concurrency)
        self._quota = Quota(spec.requests_per_minute, spec.tokens_per_minute)
        self._pace = Pace(spec.timeout)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
        self._thread.start()

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish. At most `spec.concurrency` calls are in flight: see `throttle.AdaptiveLimit`.

        A call that fails is made again, ten times in all and never later than twice `spec.timeout` after the first; one that is late is made
        a second time beside the first, and whichever answers first counts (`throttle.Pace`).
        """
        answers: queue.SimpleQueue[tuple[int, Response] | None] = queue.SimpleQueue()
        running = asyncio.run_coroutine_threadsafe(self._ask_all(requests, admit, answers), self._loop)
        running.add_done_callback(lambda _: answers.put(None))
        try:
            while (answer := answers.get()) is not None:
                yield answer
            running.result()
        finally:
            if running.cancel():
                # Its calls still have places: they are given back before the next run takes any.
                asyncio.run_coroutine_threadsafe(self._quiet(), self._loop).result()

    def close(self) -> None:
        """Close the connections and end the thread."""
        with suppress(concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(self._model.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _quiet(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        self._limit.in_flight = 0  # of calls that were cancelled before they began

    async def _ask_all(
        self, requests: Sequence[Request], admit: Admit, answers: "queue.SimpleQueue[tuple[int, Response] | None]"
    ) -> None:
        open_requests = asyncio.Semaphore(WAITING)

        async def work(position: int, request: Request, prompt_tokens: int, taken: float, ticket: Ticket) -> None:
            try:
                answers.put((position, await self._answer(request, prompt_tokens, taken, ticket)))
            finally:
                open_requests.release()

        try:
            async with asyncio.TaskGroup() as group:
                # Side by side, for the server's prefix cache.
                for position in sorted(range(len(requests)), key=lambda place: beginning(requests[place])):
                    request = requests[position]
                    prompt_tokens, max_tokens = _prompt_tokens(request), most_tokens(request)
                    await open_requests.acquire()
                    taken = await self._quota.take(prompt_tokens, max_tokens)
                    ticket = await self._limit.enter()
                    if not admit(prompt_tokens, max_tokens):
                        self._limit.leave(ticket, None)
                        break
                    group.create_task(work(position, request, prompt_tokens, taken, ticket))
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
        else:
            return
        raise error

    async def _answer(self, request: Request, prompt_tokens: int, taken: float, ticket: Ticket) -> Response:
        """Try until there is an answer, or for long enough. The first place is taken already."""
        began, weight = time.monotonic(), most_tokens(request) + prompt_tokens / 16
        jitter = random.Random(f"{request.row_id}:{request.prompt}").random
        made = 0
        while True:
            tried, made = await self._try(request, prompt_tokens, weight, taken, ticket, jitter, made)
            response = tried.response
            gone = time.monotonic() - began
            if response.error not in RETRIABLE or made == self._attempts or tried.retry_after > LONGEST_RETRY_AFTER:
                break
            wait = max(self._wait(made, tried.overloaded, jitter), tried.retry_after)
            if gone + wait > 2 * self.spec.timeout:
                break
            await asyncio.sleep(wait)
            taken = await self._quota.take(prompt_tokens, most_tokens(request))
            ticket = await self._limit.enter(urgent=True)
        return replace(response, seconds=gone)

    def _wait(self, failures: int, overloaded: bool, jitter: Jitter) -> float:
        """Seconds before the next call. A server that answers others needs no long rest: what it can take is for the limit to find out."""
        typical = min(max(self._pace.typical, FIRST_WAIT), 0.5)
        longest = (4 if overloaded else 1) * typical if self._limit.answering else LONGEST_WAIT
        return back_off(failures, typical if overloaded else FIRST_WAIT, longest, jitter)

    async def _try(
        self,
        request: Request,
        prompt_tokens: int,
        weight: float,
        taken: float,
        ticket: Ticket,
        jitter: Jitter,
        made: int,
    ) -> tuple[_Tried, int]:
        """One call, and others beside it when it is late. The first answer counts, and ends the others. `made` is the number of calls so far."""
        calls = {asyncio.create_task(self._call(request, weight, taken, ticket))}
        began, made, tried = time.monotonic(), made + 1, None
        next_at: float | None = None
        try:
            while calls:
                # Asked anew each time: how long calls take may be known only after this one was made.
                due = next_at or began + self._pace.late_after(weight) * (2 ** len(calls) - 1)
                wait = due - time.monotonic()
                done, calls = await asyncio.wait(
                    calls, timeout=min(wait, LOOK) if wait > 0 else LOOK, return_when=asyncio.FIRST_COMPLETED
                )
                for call in done:
                    tried = call.result()
                    if tried.outcome == "answered":
                        return tried, made
                    # What was called beside a late call has failed: the next one follows as after any failure.
                    next_at = time.monotonic() + max(self._wait(made, tried.overloaded, jitter), tried.retry_after)
                late_by = time.monotonic() - due
                if done or late_by < 0 or len(calls) == BESIDE or made == self._attempts:
                    continue
                if next_at or self._pace.second_call() or late_by > PATIENCE * (due - began):
                    calls.add(asyncio.create_task(self._call_beside(request, prompt_tokens, weight)))
                    made, next_at = made + 1, None
        finally:
            for call in calls:
                call.cancel()
        assert tried is not None
        return tried, made

    async def _call_beside(self, request: Request, prompt_tokens: int, weight: float) -> _Tried:
        taken = await self._quota.take(prompt_tokens, most_tokens(request))
        return await self._call(request, weight, taken, await self._limit.enter(urgent=True))

    async def _call(self, request: Request, weight: float, taken: float, ticket: Ticket) -> _Tried:
        began, tried = time.monotonic(), None
        try:
            tried = await self._classified(request)
            if tried.response.error is None:
                self._pace.add(weight, time.monotonic() - began)
                if tried.response.prompt_tokens:
                    self._quota.used(
                        taken, tried.response.prompt_tokens, tried.response.completion_tokens, most_tokens(request)
                    )
            return tried
        finally:
            self._limit.leave(
                ticket, tried and tried.outcome, min(tried.retry_after, LONGEST_RETRY_AFTER) if tried else 0.0
            )

    async def _classified(self, request: Request) -> _Tried:
        """One call for a request, its errors as classes. Raises `EngineUnavailable` where no other request would fare better."""
        fatal: str | None = None
        try:
            async with asyncio.timeout(self.spec.timeout):
                return _Tried(await self._model.answer(request))
        except TimeoutError:
            return _Tried(failed(TIMEOUT, f"no answer in {self.spec.timeout:g} seconds"), overloaded=True)
        except NoReply as failure:
            return _Tried(failed(failure.error, failure))
        except Rejected as rejected:
            if not rejected.fatal:
                return _Tried(rejected.response(self.spec.max_model_len), rejected.overloaded, rejected.retry_after)
            fatal = self._fatal(rejected)
        raise EngineUnavailable(fatal)  # here, where no exception that knows the request's header is its context

    def _fatal(self, rejected: Rejected) -> str:
        if rejected.status == 404:
            return f"{self.spec.base_url} or the model {self.spec.model} is not there: {rejected}"
        if rejected.status in (401, 403):
            return f"{self.spec.base_url} refuses the key in {self.spec.api_key_env}: {rejected}"
        return f"{self.spec.base_url} wants to be paid: {rejected}"


def _prompt_tokens(request: Request) -> int:
    """An estimate: only the server could count them."""
    if isinstance(request, CompleteRequest):
        characters = len(request.text)
    elif isinstance(request, ScoreRequest):
        characters = sum(len(turn["content"]) for turn in request.context) + len(request.answer)
    else:
        characters = sum(len(turn["content"]) for turn in request.messages)
    return characters // CHARACTERS_PER_TOKEN + 1
