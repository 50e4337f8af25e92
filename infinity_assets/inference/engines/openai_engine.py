"""Engine for any server with OpenAI's API. It schedules and retries calls; `openai_server` makes a single call.

Generation works with all servers. Scores need the extensions of `vllm serve`; choices use them if available.
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

from infinity_assets.inference.engines.chat_template import prefix_key
from infinity_assets.inference.engines.engine import Admit, EngineMisconfigured, admit_all
from infinity_assets.inference.engines.openai_api import Rejected
from infinity_assets.inference.engines.openai_server import NoReply, ServedModel
from infinity_assets.inference.engines.throttle import UNKNOWN, AdaptiveLimit, Outcome, Pace, Quota, Ticket, back_off
from infinity_assets.inference.requests import RETRIABLE, TIMEOUT, Request, Response, make_failure, most_tokens, text_of
from infinity_assets.settings.models import ModelSpec

ATTEMPTS = 10
"""Maximum number of calls for one request. With the waits between them, they take about half a minute, or longer if the
server asks for longer waits."""
FIRST_WAIT = 0.1  # seconds; longer if the server is overloaded
LONGEST_WAIT = 8.0  # seconds
LONGEST_RETRY_AFTER = 120.0  # seconds; if a server asks for a longer wait, the request is left to the next run
MOST_PARALLEL = 3
"""Maximum number of parallel calls for one request. Another one starts when the earlier ones are late."""
PATIENCE = 3
"""A call that is late by this multiple of the allowed time is repeated even if the ration of `Pace` is used up."""
LOOK = 0.5
"""Maximum number of seconds between two checks for late calls."""
WAITING = 1024
"""Maximum number of requests in flight or waiting for a retry. Others start only after one of them has ended."""
CHARACTERS_PER_TOKEN = 4


@dataclass
class _Pending:
    """A request that is not answered yet, with the number of its calls so far."""

    request: Request
    prompt_tokens: int
    max_tokens: int
    weight: float
    jitter: Callable[[], float]
    calls: int = 0


@dataclass(frozen=True)
class _Turn:
    """Permission to make one call."""

    taken: float
    """Tokens taken from the quota."""
    ticket: Ticket


@dataclass(frozen=True)
class _CallResult:
    """The result of one call for a request."""

    response: Response
    overloaded: bool = False
    retry_after: float = 0.0

    @property
    def outcome(self) -> Outcome:
        if self.response.error not in RETRIABLE:
            return "answered"
        return "overloaded" if self.overloaded else "failed"


class OpenAIEngine:
    """A model on a server. Calls run on an event loop in a separate thread, which also calls `admit`."""

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

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests in order of completion, with at most `spec.concurrency` calls in flight.

        A failed call is repeated, up to ten calls per request, and no later than twice `spec.timeout` after the first.
        A late call (see `throttle.Pace`) is repeated in parallel, and the first answer counts.

        Raises:
            EngineUnavailable: The server rejects the key, the model or the address, or requires payment.
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
                # Cancelled calls still hold slots, which must be released before the next run.
                asyncio.run_coroutine_threadsafe(self._wait_for_cancelled(), self._loop).result()

    def close(self) -> None:
        """Close the connections and end the thread."""
        with suppress(concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(self._model.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wait_for_cancelled(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        self._limit.in_flight = 0  # calls that were cancelled before they began have not released their slots

    async def _ask_all(
        self, requests: Sequence[Request], admit: Admit, answers: "queue.SimpleQueue[tuple[int, Response] | None]"
    ) -> None:
        open_requests = asyncio.Semaphore(WAITING)

        async def work(position: int, pending: _Pending, turn: _Turn) -> None:
            try:
                answers.put((position, await self._answer(pending, turn)))
            finally:
                open_requests.release()

        try:
            async with asyncio.TaskGroup() as group:
                # Requests with a common prefix follow each other, to make use of the server's prefix cache.
                for position in sorted(range(len(requests)), key=lambda place: prefix_key(requests[place])):
                    pending = _make_pending(requests[position])
                    await open_requests.acquire()
                    turn = await self._take_turn(pending)
                    if not admit(pending.prompt_tokens, pending.max_tokens):
                        self._limit.leave(turn.ticket, None)
                        break
                    group.create_task(work(position, pending, turn))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _answer(self, pending: _Pending, turn: _Turn) -> Response:
        """Call the server until it answers, or calls or time are used up. `turn` permits the first call."""
        began = time.monotonic()
        while True:
            attempt = await self._call_in_parallel(pending, turn)
            elapsed = time.monotonic() - began
            exhausted = pending.calls == self._attempts or attempt.retry_after > LONGEST_RETRY_AFTER
            wait = self._next_wait(pending, attempt)
            if attempt.outcome == "answered" or exhausted or elapsed + wait > 2 * self.spec.timeout:
                return replace(attempt.response, seconds=elapsed)
            await asyncio.sleep(wait)
            turn = await self._take_turn(pending, urgent=True)

    def _next_wait(self, pending: _Pending, failed: _CallResult) -> float:
        """Return the seconds to wait between a failed call and the next one.

        The wait is short if the server answers other calls, because `AdaptiveLimit` already prevents overload.
        """
        typical = min(max(self._limit.usual_seconds or UNKNOWN, FIRST_WAIT), 0.5)
        longest = (4 if failed.overloaded else 1) * typical if self._limit.answering else LONGEST_WAIT
        wait = back_off(pending.calls, typical if failed.overloaded else FIRST_WAIT, longest, pending.jitter)
        return max(wait, failed.retry_after)

    async def _call_in_parallel(self, pending: _Pending, turn: _Turn) -> _CallResult:
        """Make a call, and repeat it in parallel when it is late. The first answer cancels the other calls."""
        calls = {asyncio.create_task(self._call(pending, turn))}
        pending.calls += 1
        began = time.monotonic()
        attempt = None
        next_at: float | None = None
        try:
            while calls:
                # Computed in every iteration, because the usual duration may become known only after the call began.
                due = next_at or began + self._pace.late_after(pending.weight) * (2 ** len(calls) - 1)
                wait = due - time.monotonic()
                done, calls = await asyncio.wait(
                    calls, timeout=min(wait, LOOK) if wait > 0 else LOOK, return_when=asyncio.FIRST_COMPLETED
                )
                for call in done:
                    attempt = call.result()
                    if attempt.outcome == "answered":
                        return attempt
                    # After a failure, the next parallel call waits as long as a retry.
                    next_at = time.monotonic() + self._next_wait(pending, attempt)
                late_by = time.monotonic() - due
                if done or late_by < 0 or len(calls) == MOST_PARALLEL or pending.calls == self._attempts:
                    continue
                if next_at or self._pace.allow_second_call() or late_by > PATIENCE * (due - began):
                    calls.add(asyncio.create_task(self._call(pending)))
                    pending.calls += 1
                    next_at = None
        finally:
            for call in calls:
                call.cancel()
        assert attempt is not None
        return attempt

    async def _take_turn(self, pending: _Pending, urgent: bool = False) -> _Turn:
        taken = await self._quota.take(pending.prompt_tokens, pending.max_tokens)
        return _Turn(taken, await self._limit.enter(urgent))

    async def _call(self, pending: _Pending, turn: _Turn | None = None) -> _CallResult:
        """Make a call with the permission `turn`, or wait for one."""
        turn = turn or await self._take_turn(pending, urgent=True)
        began = time.monotonic()
        attempt = None
        try:
            attempt = await self._ask_once(pending.request)
            response = attempt.response
            if response.error is None:
                self._pace.add(pending.weight, time.monotonic() - began)
                if response.prompt_tokens:
                    self._quota.settle(
                        turn.taken, response.prompt_tokens, response.completion_tokens, pending.max_tokens
                    )
            return attempt
        finally:
            wait = min(attempt.retry_after, LONGEST_RETRY_AFTER) if attempt else 0.0
            self._limit.leave(turn.ticket, attempt.outcome if attempt else None, wait)

    async def _ask_once(self, request: Request) -> _CallResult:
        """Make one call and classify its errors. Raises `EngineMisconfigured` if every request would fail."""
        try:
            async with asyncio.timeout(self.spec.timeout):
                return _CallResult(await self._model.answer(request))
        except TimeoutError:
            return _CallResult(make_failure(TIMEOUT, f"no answer in {self.spec.timeout:g} seconds"), overloaded=True)
        except NoReply as failure:
            return _CallResult(make_failure(failure.error, failure))
        except Rejected as rejected:
            if not rejected.fatal:
                return _CallResult(
                    rejected.response(self.spec.max_model_len), rejected.overloaded, rejected.retry_after
                )
            fatal = self._describe_fatal(rejected)
        # Raised outside the handler, so that no exception with the request's header is chained to it.
        raise EngineMisconfigured(fatal)

    def _describe_fatal(self, rejected: Rejected) -> str:
        if rejected.status == 404:
            return f"{self.spec.base_url} or the model {self.spec.model} does not exist: {rejected}"
        if rejected.status in (401, 403):
            return f"{self.spec.base_url} refuses the key in {self.spec.api_key_env}: {rejected}"
        return f"{self.spec.base_url} requires payment: {rejected}"


def _make_pending(request: Request) -> _Pending:
    # Only the server could count the tokens of the prompt.
    prompt_tokens = len(text_of(request)) // CHARACTERS_PER_TOKEN + 1
    max_tokens = most_tokens(request)
    jitter = random.Random(f"{request.row_id}:{request.prompt}").random
    return _Pending(request, prompt_tokens, max_tokens, max_tokens + prompt_tokens / 16, jitter)
