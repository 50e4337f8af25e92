"""Single calls to a server with OpenAI's API. They adapt to the features that the server turns out to support.

The header of every call contains the API key. Servers often quote it, so it is removed from errors and answers.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from infinity_assets.inference.engines import openai_api as api
from infinity_assets.inference.engines.chat_template import join_score
from infinity_assets.inference.engines.engine import EngineMisconfigured
from infinity_assets.inference.engines.secret import Secret
from infinity_assets.inference.requests import (
    BAD_REPLY,
    CONNECTION,
    INVALID_REQUEST,
    CompleteRequest,
    GenerateRequest,
    Messages,
    Request,
    Response,
    ScoreRequest,
    make_score,
)
from infinity_assets.settings.models import ModelSpec

CONNECT = 10.0  # seconds to connect
KEPT_ALIVE = 60.0  # seconds that an idle connection stays open
CHOICE_TOKENS = 32
"""Maximum number of tokens of a choice in JSON."""
THOUGHT_TOKENS = 4096
"""Maximum number of tokens of a choice by a model that thinks first."""


class NoReply(Exception):
    """A call brought no reply that matches the API. `error` is an error class. The message does not contain the key."""

    def __init__(self, error: str, cause: str):
        super().__init__(cause)
        self.error = error


class ServedModel:
    """A model on a server. All calls must run on the same event loop."""

    def __init__(self, spec: ModelSpec):
        import httpx2

        self.spec = spec
        self._secret = Secret(os.environ.get(spec.api_key_env, ""))
        for name in ("httpx2", "httpcore2"):  # they log requests and the headers of replies, which may quote the key
            logging.getLogger(name).setLevel(logging.WARNING)
        key = {"authorization": f"Bearer {self._secret.value}"} if self._secret.value else {}
        self._client: Any = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEPT_ALIVE),
            headers={"content-type": "application/json", **key},
        )
        self._errors: Any = (httpx2.HTTPError, httpx2.InvalidURL)
        self._header: list[int] | None = None
        self._unsupported: set[str] = set()
        """Optional fields that the server rejects."""
        self._folds_system = False
        """True if the model takes no system prompt, which then precedes the first request."""
        self._formats: dict[str, int] = {}
        """Number of the strictest output format (`format_fields`) that the server may accept, by schema."""
        self._first_tokens: dict[tuple[str, ...], tuple[int, ...] | None] = {}
        self._choice_methods: set[str] = {"first_token", "structured_outputs"}
        """Extensions of `vllm serve` for choices that the server may support."""

    async def answer(self, request: Request) -> Response:
        """Answer a request with one or several calls.

        Raises:
            Rejected: The server replied with an error.
            NoReply: There was no reply, or it did not match the API.
            EngineUnavailable: Every request of this kind would fail.
        """
        shape: str | None = None
        try:
            if isinstance(request, ScoreRequest):
                return await self._score(request)
            if isinstance(request, CompleteRequest):
                response = api.read(await self._post("/completions", api.complete_body(self.spec.model, request)))
            elif request.choices:
                response = await self._choose(request, request.choices)
            elif request.schema is not None:
                response = api.read(await self._chat_with_schema(request, request.schema))
            else:
                response = api.read(await self._chat(request))
            cause = response.cause and self._secret.clean(response.cause)
            return replace(response, text=response.text and self._secret.strip(response.text), cause=cause)
        except api.MALFORMED as error:
            shape = self._secret.clean(f"not what the API promises: {error!r}")
        raise NoReply(BAD_REPLY, shape)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _chat(self, request: GenerateRequest, **fields: Any) -> Any:
        sampling = api.sampling_fields(request.sampling, request.seed)
        body = {"model": self.spec.model, "messages": request.messages, **sampling, **fields}
        return await self._post("/chat/completions", body)

    async def _chat_with_schema(self, request: GenerateRequest, schema: Mapping[str, Any], **fields: Any) -> Any:
        """Request JSON in the strictest output format that the server accepts."""
        name = json.dumps(schema)
        while True:
            number = self._formats.get(name, 0)
            try:
                return await self._chat(request, **fields, **api.format_fields(schema, number))
            except api.Rejected as rejected:
                if not rejected.about_format or number + 1 == api.FORMATS:
                    raise
            self._formats[name] = max(self._formats.get(name, 0), number + 1)

    async def _choose(self, request: GenerateRequest, choices: tuple[str, ...]) -> Response:
        """Answer a request with choices by the first method that the server supports.

        The methods are log-probabilities of the choices' first tokens, a grammar, and a JSON schema.
        """
        if "first_token" in self._choice_methods and (tokens := await self._choice_tokens(choices)):
            fields = api.greedy(max_tokens=1, logprob_token_ids=tokens, return_tokens_as_token_ids=True)
            reply = await self._chat_if_supported(request, **fields)
            logprobs = reply and api.first_token_logprobs(reply, tokens)
            if logprobs:
                best = max(range(len(logprobs)), key=logprobs.__getitem__)
                return replace(api.read(reply), text=choices[best], finish_reason="stop", choice_logprobs=logprobs)
            self._choice_methods.discard("first_token")
        if "structured_outputs" in self._choice_methods:
            reply = await self._chat_if_supported(request, **api.greedy(structured_outputs={"choice": choices}))
            if reply:
                response = api.read_choice(reply, choices)
                written = api.take_apart(api.read(reply).text or "")
                is_enforced = written.answer.strip() in choices
                if response.error or is_enforced or (response.finish_reason == "length" and not written.thought):
                    return response
            self._choice_methods.discard("structured_outputs")  # rejected or ignored
        response = Response()
        for most in (CHOICE_TOKENS, THOUGHT_TOKENS):
            fields = api.greedy(max_tokens=most)
            reply = await self._chat_with_schema(request, api.choice_schema(choices), **fields)
            response = api.read_choice(reply, choices)
            if response.text in choices or response.finish_reason != "length":
                break
        return response

    async def _chat_if_supported(self, request: GenerateRequest, **fields: Any) -> Any:
        """Return the reply, or None if the server rejects the additional fields."""
        try:
            return await self._chat(request, **fields)
        except api.Rejected as rejected:
            if rejected.status not in (400, 422) or rejected.response(0).error != INVALID_REQUEST:
                raise
            return None

    async def _choice_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return the first token of every choice, or None if they are unknown, not distinct or too many."""
        if choices not in self._first_tokens:
            try:
                tokens = await asyncio.gather(*(self._tokenize(prompt=choice) for choice in choices))
            except api.Rejected as rejected:
                if rejected.status == 429 or rejected.status >= 500:
                    raise
                self._choice_methods.discard("first_token")
                return None
            firsts = tuple(ids[0] for ids in tokens)
            self._first_tokens[choices] = firsts if len(set(firsts)) == len(firsts) <= api.TOP_LOGPROBS else None
        return self._first_tokens[choices]

    async def _score(self, request: ScoreRequest) -> Response:
        """Score like the engines in this process: tokenize context and answer separately, and send their token ids."""
        context, answer = await asyncio.gather(
            self._chat_tokens(request.context) if request.context else self._header_tokens(),
            self._tokenize(prompt=request.answer),
        )
        scored = join_score(context, answer, self.spec.max_model_len)
        if isinstance(scored, Response):
            return scored
        tokens, start, cut_at = scored
        body = {"model": self.spec.model, "prompt": tokens, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        logprobs = api.scored_logprobs(await self._post("/completions", body), tokens, start)
        if logprobs is None:
            raise EngineMisconfigured(
                f"{self.spec.base_url} gives no prompt_logprobs: scores need `vllm serve`, or the vllm backend"
            )
        return make_score(logprobs, len(tokens), cut_at)

    async def _chat_tokens(self, messages: Messages, answering: bool = True) -> list[int]:
        return await self._tokenize(messages=messages, add_generation_prompt=answering)

    async def _header_tokens(self) -> list[int]:
        """Return the tokens that the chat template writes directly before an answer."""
        if self._header is None:
            turn = ({"role": "user", "content": "?"},)
            closed = await self._chat_tokens(turn, answering=False)
            self._header = (await self._chat_tokens(turn))[len(closed) :]
        return self._header

    async def _tokenize(self, **body: Any) -> list[int]:
        body = {"model": self.spec.model, "add_special_tokens": False, **body}
        return (await self._post("/tokenize", body))["tokens"]

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a body without the optional fields that the server rejects, and return the reply.

        Raises `Rejected` and `NoReply`.
        """
        while True:
            sent = {name: value for name, value in body.items() if name not in self._unsupported}
            if self._folds_system and _has_system(body):
                sent["messages"] = _fold_system(body["messages"])
            for field in self._unsupported & body.keys():
                if other := api.OPTIONAL[field]:
                    sent[other] = body[field]
            try:
                return await self._send(path, sent)
            except api.Rejected as rejected:
                if rejected.about_system and _has_system(sent):
                    self._folds_system = True
                    continue
                field = rejected.unknown_field(sent)
                if field is None:
                    raise
            self._unsupported.add(field)

    async def _send(self, path: str, body: Mapping[str, Any]) -> Any:
        root = self.spec.base_url.rstrip("/")
        url = (root.removesuffix("/v1") if path == "/tokenize" else root) + path
        try:
            content = orjson.dumps(body)
        except TypeError as error:  # for example a lone surrogate, or a number of more than 64 bits
            raise api.Rejected(400, f"not sent: {error}") from None
        reply = await self._exchange(url, content)
        if not reply.is_success:
            where = f"{url} " if reply.status_code == 404 else ""
            raise api.Rejected(
                reply.status_code, where + self._secret.clean(reply.text), api.retry_after(reply.headers)
            )
        read: Any = None
        with suppress(ValueError):
            read = _load(reply.content)
        if not isinstance(read, dict):
            raise NoReply(BAD_REPLY, self._secret.clean(f"not what the API promises: {reply.text[:200]!r}"))
        if read.get("error") and not read.get("choices"):
            # If an answer fails after OpenRouter has begun to send it, the status is 200 and the error is in the body.
            code = read["error"].get("code") if isinstance(read["error"], dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 502
            raise api.Rejected(status, self._secret.clean(reply.text))
        return read

    async def _exchange(self, url: str, content: bytes) -> Any:
        try:
            return await self._client.post(url, content=content)
        except self._errors as error:
            failure = self._secret.clean(f"{self.spec.base_url}: {error!r} {error.__cause__ or ''}".strip())
        # Raised outside the handler, so that no exception with the request's header is chained to it.
        raise NoReply(CONNECTION, failure)


def _has_system(body: Mapping[str, Any]) -> bool:
    messages = body.get("messages") or ()
    return len(messages) > 1 and messages[0]["role"] == "system"


def _fold_system(messages: Messages) -> list[dict[str, str]]:
    """Return messages with the system prompt at the beginning of the first request."""
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _load(content: bytes) -> Any:
    """Parse JSON. Halves of surrogate pairs, which are no characters, become U+FFFD."""
    try:
        return orjson.loads(content)
    except ValueError:
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
