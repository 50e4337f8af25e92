"""Any server that speaks OpenAI's API. Generating works with all of them; scores use what `vllm serve` adds to it, choices where it is there.

The key is read from the environment variable that the settings name and goes nowhere but into the request's header: errors and answers are
searched for it, because servers like to quote it.
"""

import asyncio
import concurrent.futures
import json
import logging
import math
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from infinity_assets.inference import openai_api as api
from infinity_assets.inference.engine import Admit, EngineUnavailable, always
from infinity_assets.inference.requests import (
    BAD_REPLY,
    CONNECTION,
    INVALID_REQUEST,
    PROMPT_TOO_LONG,
    RETRIABLE,
    TIMEOUT,
    CompleteRequest,
    GenerateRequest,
    Messages,
    Request,
    Response,
    ScoreRequest,
    failed,
)
from infinity_assets.inference.secret import Secret
from infinity_assets.inference.throttle import AdaptiveLimit, Outcome, Pace, Quota, Ticket, back_off
from infinity_assets.model_settings import ModelSpec

ATTEMPTS = 10
"""Calls for one request. With the waits between them about half a minute, or what the server asks for."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 8.0  # seconds; the first is longer where the server has too much to do
LONGEST_RETRY_AFTER = 120.0  # seconds; a server that wants more is asked again by the next run
BESIDE = 3
"""Calls for one request that may be under way together, because the earlier ones are late."""
WAITING = 1024
"""Requests that are in flight or wait to be tried again; no new one is begun before one of them has ended."""
CONNECT = 10.0  # seconds
KEPT_ALIVE = 60.0  # seconds
CHARACTERS_PER_TOKEN = 4


class _Failure(Exception):
    """A call that brought no reply of the API's shape."""

    def __init__(self, error: str, cause: object):
        super().__init__(cause)
        self.error = error


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
        import httpx2

        self.spec = spec
        self._attempts = attempts
        self._secret = Secret(os.environ.get(spec.api_key_env, ""))
        for name in ("httpx2", "httpcore2"):  # a line per request, and a reply's headers, which may quote the key
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client: Any = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEPT_ALIVE),
            headers={"content-type": "application/json", **self._authorization()},
        )
        self._limit = AdaptiveLimit(spec.concurrency)
        self._quota = Quota(spec.requests_per_minute, spec.tokens_per_minute)
        self._pace = Pace(spec.timeout)
        self._header: list[int] | None = None
        self._lacks: set[str] = set()
        """Optional fields that the server does not take."""
        self._forms: dict[str, int] = {}
        """By schema, the first of `FORMS` that the server takes."""
        self._first_tokens: dict[tuple[str, ...], tuple[int, ...] | None] = {}
        self._ways: set[str] = {"first_token", "structured_outputs"}
        """What `vllm serve` adds for choices, as far as the server is not known to lack it."""
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
            asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._secret.value}"} if self._secret.value else {}

    async def _quiet(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        self._limit.in_flight = 0  # of calls that were cancelled before they began

    async def _ask_all(self, requests: Sequence[Request], admit: Admit, answers: "queue.SimpleQueue[tuple[int, Response] | None]") -> None:
        open_requests = asyncio.Semaphore(WAITING)

        async def work(position: int, request: Request, prompt_tokens: int, taken: float, ticket: Ticket) -> None:
            try:
                answers.put((position, await self._answer(request, prompt_tokens, taken, ticket)))
            finally:
                open_requests.release()

        try:
            async with asyncio.TaskGroup() as group:
                for position, request in enumerate(requests):
                    prompt_tokens, max_tokens = _size(request)
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
        began, weight = time.monotonic(), _size(request)[1] + prompt_tokens / 16
        jitter = random.Random(f"{request.row_id}:{request.prompt}").random
        attempt = 1
        while True:
            tried = await self._try(request, prompt_tokens, weight, taken, ticket)
            response = tried.response
            gone = time.monotonic() - began
            if response.error not in RETRIABLE or attempt == self._attempts or tried.retry_after > LONGEST_RETRY_AFTER:
                break
            wait = max(self._wait(attempt, tried.overloaded, jitter), tried.retry_after)
            if gone + wait > 2 * self.spec.timeout:
                break
            await asyncio.sleep(wait)
            attempt += 1
            taken = await self._quota.take(prompt_tokens, _size(request)[1])
            ticket = await self._limit.enter(urgent=True)
        return replace(response, seconds=gone)

    def _wait(self, failures: int, overloaded: bool, jitter: Callable[[], float]) -> float:
        """Seconds before the next call. A server that answers others needs no long rest: what it can take is for the limit to find out."""
        typical = min(max(self._pace.typical, FIRST_WAIT), 0.5)
        longest = (4 if overloaded else 1) * typical if self._limit.answering else LONGEST_WAIT
        return back_off(failures, typical if overloaded else FIRST_WAIT, longest, jitter)

    async def _try(self, request: Request, prompt_tokens: int, weight: float, taken: float, ticket: Ticket) -> _Tried:
        """One call, and others beside it when it is late. The first answer counts, and ends the others."""
        calls = {asyncio.create_task(self._call(request, weight, taken, ticket))}
        wait = self._pace.late_after(weight)
        tried = None
        try:
            while calls:
                done, calls = await asyncio.wait(calls, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    tried = call.result()
                    if tried.outcome == "answered":
                        return tried
                if not done and len(calls) < BESIDE and self._pace.second_call():
                    calls.add(asyncio.create_task(self._call_beside(request, prompt_tokens, weight)))
                    wait *= 2
        finally:
            for call in calls:
                call.cancel()
        assert tried is not None
        return tried

    async def _call_beside(self, request: Request, prompt_tokens: int, weight: float) -> _Tried:
        taken = await self._quota.take(prompt_tokens, _size(request)[1])
        return await self._call(request, weight, taken, await self._limit.enter(urgent=True))

    async def _call(self, request: Request, weight: float, taken: float, ticket: Ticket) -> _Tried:
        began, tried = time.monotonic(), None
        try:
            tried = await self._classified(request)
            if tried.outcome == "answered":
                self._pace.add(weight, time.monotonic() - began)
                if tried.response.prompt_tokens:
                    max_tokens = _size(request)[1]
                    self._quota.used(taken, tried.response.prompt_tokens, tried.response.completion_tokens, max_tokens)
            return tried
        finally:
            self._limit.leave(ticket, tried and tried.outcome, tried.retry_after if tried else 0.0)

    async def _classified(self, request: Request) -> _Tried:
        """One call for a request, its errors as classes. Raises `EngineUnavailable` where no other request would fare better."""
        fatal: str | None = None
        try:
            async with asyncio.timeout(self.spec.timeout):
                if isinstance(request, ScoreRequest):
                    response = await self._score(request)
                elif isinstance(request, CompleteRequest):
                    response = await self._complete(request)
                else:
                    response = await self._generate(request)
            return _Tried(self._without_key(response))
        except TimeoutError:
            return _Tried(failed(TIMEOUT, f"no answer in {self.spec.timeout:g} seconds"), overloaded=True)
        except _Failure as failure:
            return _Tried(failed(failure.error, failure))
        except api.Rejected as rejected:
            if not rejected.fatal:
                return _Tried(rejected.response(self.spec.max_model_len), rejected.overloaded, rejected.retry_after)
            fatal = self._fatal(rejected)
        except api.ANOTHER_SHAPE as error:
            return _Tried(failed(BAD_REPLY, self._secret.clean(f"not what the API promises: {error!r}")))
        raise EngineUnavailable(fatal)  # here, where no exception that knows the request's header is its context

    def _fatal(self, rejected: api.Rejected) -> str:
        if rejected.status == 404:
            return f"{self.spec.base_url} or the model {self.spec.model} is not there: {rejected}"
        if rejected.status in (401, 403):
            return f"{self.spec.base_url} refuses the key in {self.spec.api_key_env}: {rejected}"
        return f"{self.spec.base_url} wants to be paid: {rejected}"

    def _without_key(self, response: Response) -> Response:
        text, cause = response.text, response.cause
        return replace(response, text=text and self._secret.strip(text), cause=cause and self._secret.clean(cause))

    async def _generate(self, request: GenerateRequest) -> Response:
        if request.choices:
            return await self._choose(request, request.choices)
        if request.schema is None:
            return api.read(await self._post("/chat/completions", api.chat_body(self.spec.model, request)))
        return api.read(await self._chat_with_schema(request, request.schema))

    async def _chat_with_schema(self, request: GenerateRequest, schema: Mapping[str, Any], **fields: Any) -> Any:
        """Ask for JSON in the strictest form that the server takes."""
        name = json.dumps(schema)
        while True:
            form = self._forms.get(name, 0)
            body = api.chat_body(self.spec.model, request, **fields, **api.FORMS[form].fields(schema))
            try:
                return await self._post("/chat/completions", body)
            except api.Rejected as rejected:
                if not rejected.about_format or form + 1 == len(api.FORMS):
                    raise
            self._forms[name] = max(self._forms.get(name, 0), form + 1)

    async def _choose(self, request: GenerateRequest, choices: tuple[str, ...]) -> Response:
        """By the log-probabilities of the choices' first tokens, as in process; under a grammar; or as a schema, whichever the server knows."""
        if "first_token" in self._ways and (tokens := await self._choice_tokens(choices)):
            reply = await self._choice_call(request, "first_token", **api.first_token_fields(tokens))
            logprobs = reply and api.first_token_logprobs(reply, tokens)
            if logprobs:
                best = max(range(len(logprobs)), key=logprobs.__getitem__)
                return replace(api.read(reply), text=choices[best], finish_reason="stop", choice_logprobs=logprobs)
            self._ways.discard("first_token")
        if "structured_outputs" in self._ways:
            reply = await self._choice_call(request, "structured_outputs", **api.greedy(structured_outputs={"choice": choices}))
            response = api.read(reply) if reply else None
            if reply and response and response.error is None:
                text = (response.text or "").strip()
                if text in choices or response.finish_reason == "length":
                    return replace(response, text=text, choice_logprobs=api.choice_logprobs(choices, reply, response.text or ""))
            elif response:
                return response
            self._ways.discard("structured_outputs")  # not taken, or ignored
        reply = await self._chat_with_schema(request, api.choice_schema(choices), **api.greedy())
        response = api.read(reply)
        if response.error is not None:
            return response
        text = response.text or ""
        with suppress(*api.ANOTHER_SHAPE):
            text = orjson.loads(text)["choice"]
        return replace(response, text=str(text).strip(), choice_logprobs=api.choice_logprobs(choices, reply, response.text or ""))

    async def _choice_call(self, request: GenerateRequest, way: str, **fields: Any) -> Any:
        """The reply, or None where the server does not take such fields."""
        try:
            return await self._post("/chat/completions", api.chat_body(self.spec.model, request, **fields))
        except api.Rejected as rejected:
            if rejected.status not in (400, 422) or rejected.response(0).error != INVALID_REQUEST:
                raise
            return None

    async def _choice_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """A token per choice that tells it from all others, or None: also where the server does not say."""
        if choices not in self._first_tokens:
            try:
                tokens = await asyncio.gather(*(self._tokenize(prompt=choice, add_special_tokens=False) for choice in choices))
            except api.Rejected as rejected:
                if rejected.status == 429 or rejected.status >= 500:
                    raise
                self._ways.discard("first_token")
                return None
            firsts = tuple(found[0] for found in tokens)
            self._first_tokens[choices] = firsts if len(set(firsts)) == len(firsts) <= api.TOP_LOGPROBS else None
        return self._first_tokens[choices]

    async def _complete(self, request: CompleteRequest) -> Response:
        return api.read(await self._post("/completions", api.complete_body(self.spec.model, request)))

    async def _score(self, request: ScoreRequest) -> Response:
        """As in process: the tokens of the context and of the answer are found apart, joined, and sent as a prompt of token ids."""
        context, answer = await asyncio.gather(
            self._chat_tokens(request.context) if request.context else self._header_tokens(),
            self._tokenize(prompt=request.answer, add_special_tokens=False),
        )
        window = self.spec.max_model_len
        room = window - 1 - len(context)
        if room < 1:
            cause = f"{len(context)} tokens of context leave no room in max_model_len = {window}"
            return failed(PROMPT_TOO_LONG, cause, len(context), window=window)
        tokens, cut = context + answer[:room], len(answer) > room
        body = {"model": self.spec.model, "prompt": tokens, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        logprobs = api.scored_logprobs(await self._post("/completions", body), tokens, len(context))
        if logprobs is None:
            raise EngineUnavailable(f"{self.spec.base_url} gives no prompt_logprobs: scores need `vllm serve`, or the vllm backend")
        return Response(
            finish_reason="cut" if cut else "scored",
            prompt_tokens=len(tokens),
            sum_logprob=math.fsum(logprobs),
            answer_tokens=len(logprobs),
            window=window if cut else None,
        )

    async def _chat_tokens(self, messages: Messages, add_generation_prompt: bool = True) -> list[int]:
        return await self._tokenize(messages=messages, add_generation_prompt=add_generation_prompt, add_special_tokens=False)

    async def _header_tokens(self) -> list[int]:
        """What the chat template writes before an answer, and nothing before that."""
        if self._header is None:
            turn = ({"role": "user", "content": "?"},)
            closed = await self._chat_tokens(turn, add_generation_prompt=False)
            self._header = (await self._chat_tokens(turn))[len(closed) :]
        return self._header

    async def _tokenize(self, **body: Any) -> list[int]:
        reply = await self._post("/tokenize", {"model": self.spec.model, **body})
        return reply["tokens"]

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a body, without what the server is known not to take, and read the reply. Raises `Rejected` and `_Failure`."""
        while True:
            sent = {name: value for name, value in body.items() if name not in self._lacks}
            for field in self._lacks & body.keys():
                if other := api.OPTIONAL[field]:
                    sent[other] = body[field]
            try:
                return await self._send(path, sent)
            except api.Rejected as rejected:
                field = rejected.unknown_field(sent)
                if field is None:
                    raise
            self._lacks.add(field)

    async def _send(self, path: str, body: Mapping[str, Any]) -> Any:
        import httpx2

        root = self.spec.base_url.rstrip("/")
        url = (root.removesuffix("/v1") if path == "/tokenize" else root) + path
        try:
            content = orjson.dumps(body)
        except TypeError as error:  # half a surrogate pair, a number of more than 64 bits
            raise api.Rejected(400, f"not sent: {error}") from None
        failure: str | None = None
        try:
            reply = await self._client.post(url, content=content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            failure = self._secret.clean(f"{self.spec.base_url}: {error!r} {error.__cause__ or ''}".strip())
        if failure is not None:
            raise _Failure(CONNECTION, failure)
        if reply.is_success:
            try:
                read = orjson.loads(reply.content)
            except ValueError:
                read = None
            if isinstance(read, dict):
                if not read.get("error") or read.get("choices"):
                    return read
                # OpenRouter, once it has begun to answer: 200, and an error in the body.
                code = read["error"].get("code") if isinstance(read["error"], dict) else None
                status = code if isinstance(code, int) and 400 <= code < 600 else 502
                raise api.Rejected(status, self._secret.clean(reply.text))
            raise _Failure(BAD_REPLY, self._secret.clean(f"not what the API promises: {reply.text[:200]!r}"))
        where = f"{url} " if reply.status_code == 404 else ""
        raise api.Rejected(reply.status_code, where + self._secret.clean(reply.text), api.retry_after(reply.headers))


def _size(request: Request) -> tuple[int, int]:
    """The tokens of a request's prompt, estimated, and the most that its answer may have."""
    if isinstance(request, ScoreRequest):
        return (sum(len(turn["content"]) for turn in request.context) + len(request.answer)) // CHARACTERS_PER_TOKEN + 1, 1
    if isinstance(request, CompleteRequest):
        return len(request.text) // CHARACTERS_PER_TOKEN + 1, request.sampling.max_tokens
    return sum(len(turn["content"]) for turn in request.messages) // CHARACTERS_PER_TOKEN + 1, request.sampling.max_tokens
