"""Request bodies, replies and errors of OpenAI's API. Extensions of `vllm serve` are marked as such."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from infinity_assets.inference.answers import find_choice, take_apart
from infinity_assets.inference.requests import (
    BAD_REPLY,
    ENGINE_ERROR,
    INVALID_REQUEST,
    PROMPT_TOO_LONG,
    RATE_LIMITED,
    REFUSED,
    TIMEOUT,
    CompleteRequest,
    Response,
    make_failure,
    normalize_logprobs,
)
from infinity_assets.settings.models import Sampling

TOP_LOGPROBS = 20  # the default of `vllm serve`, and the maximum of OpenAI
MALFORMED = (ValueError, TypeError, LookupError, AttributeError)
"""Exceptions raised while reading a reply that does not match the API."""
AROUND = ' \n":'  # characters around a choice, in JSON or plain text
OPTIONAL = {"seed": None, "top_logprobs": None, "logprobs": None, "max_tokens": "max_completion_tokens"}
"""Fields that some servers reject, with an alternative name or None. Mistral accepts no seed; OpenAI's reasoning models
accept neither log-probabilities nor `max_tokens`."""
_UNKNOWN = re.compile(
    r"unrecogni|unknown|unsupported|not support|extra|not permitted|forbidden|unexpected|not a valid|not allowed", re.I
)
_TOO_LONG = re.compile(
    r"context.?(length|window)|maximum (input|prompt) length|(prompt|input) is too long|too many (input )?tokens", re.I
)
_FILTERED = re.compile(r"content.?(filter|policy|management)|responsible.?ai|moderation|data_inspection_failed", re.I)
_SYSTEM = re.compile(r"\bsystem\b.{0,40}(role|message|prompt|instruction)?.{0,40}not (supported|allowed|enabled)", re.I)
_FORMAT = re.compile(r"response_format|json_schema|json_object|schema|strict|structured", re.I)


_CLASSES = {408: TIMEOUT, 409: ENGINE_ERROR, 425: ENGINE_ERROR, 429: RATE_LIMITED, 504: TIMEOUT}


class Rejected(Exception):
    """An HTTP error of a server. `text` does not contain the API key; `retry_after` is the requested wait in seconds."""

    def __init__(self, status: int, text: str, retry_after: float = 0.0):
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text
        self.retry_after = retry_after

    @property
    def fatal(self) -> bool:
        """Return whether every request would be rejected, because of the key, the credit, the model or the address."""
        return (self.status in (401, 402, 403, 404) or "insufficient_quota" in self.text) and not self.filtered

    @property
    def filtered(self) -> bool:
        """Return whether a content filter rejected the request, for Azure, OpenAI, OpenRouter and DashScope."""
        return self.status in (400, 403) and bool(_FILTERED.search(self.text))

    @property
    def overloaded(self) -> bool:
        """Return whether the server is overloaded."""
        return self.status in (429, 503, 529)

    @property
    def about_system(self) -> bool:
        """Return whether the model takes no system prompt."""
        return self.status in (400, 422) and bool(_SYSTEM.search(self.text))

    @property
    def about_format(self) -> bool:
        """Return whether the server does not support the requested output format."""
        return self.status in (400, 422) and bool(_FORMAT.search(self.text))

    def unknown_field(self, body: Mapping[str, Any]) -> str | None:
        """Return the first field of `OPTIONAL` that is in the body and that the server rejects, or None."""
        if self.status not in (400, 422) or not _UNKNOWN.search(self.text):
            return None
        return next((field for field in OPTIONAL if field in body and re.search(rf"\b{field}\b", self.text)), None)

    def response(self, window: int) -> Response:
        """Return the error as a response. `window` is recorded if the prompt is too long."""
        if self.filtered:
            error = REFUSED
        elif self.status in (400, 413, 422) and _TOO_LONG.search(self.text):
            return make_failure(PROMPT_TOO_LONG, self, window=window)
        elif self.status < 400:
            error = BAD_REPLY
        else:
            error = _CLASSES.get(self.status) or (ENGINE_ERROR if self.status >= 500 else INVALID_REQUEST)
        return make_failure(error, self)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait from the header `retry-after-ms` or `retry-after` (seconds or a date), or 0."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time()
            except ValueError:
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return 0.0


FORMATS = 4
"""Number of output formats that can be requested for an answer in JSON."""


def format_fields(schema: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the body fields that request JSON of a schema in output format `number`, where 0 is the strictest.

    OpenAI's strict schemas are a subset of JSON Schema. DeepSeek and others only guarantee JSON, and the oldest servers
    guarantee nothing. Answers are always validated.
    """
    if number == FORMATS - 1:
        return {}
    if number == FORMATS - 2:
        return {"response_format": {"type": "json_object"}}
    described = {"name": "answer", "schema": schema, "strict": number == 0}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def greedy(**fields: Any) -> dict[str, Any]:
    """Return the body fields for a choice: greedy sampling with log-probabilities, and `fields`."""
    return {"temperature": 0.0, "top_p": 1.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS, **fields}


def choice_schema(choices: Sequence[str]) -> dict[str, Any]:
    """Return a JSON schema that enforces a choice, for servers without another method. Its root must be an object."""
    choice = {"type": "string", "enum": list(choices)}
    return {"type": "object", "properties": {"choice": choice}, "required": ["choice"], "additionalProperties": False}


def complete_body(model: str, request: CompleteRequest) -> dict[str, Any]:
    """Return the body for `/completions`. Its last fields tell `vllm serve` not to add or hide special tokens."""
    body = {"model": model, "prompt": request.text, **sampling_fields(request.sampling, request.seed)}
    if request.stop:
        body["stop"] = request.stop
    return {**body, "add_special_tokens": False, "skip_special_tokens": False}


def sampling_fields(sampling: Sampling, seed: int | None) -> dict[str, Any]:
    """Return the body fields for sampling."""
    fields = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
    return fields if seed is None else {**fields, "seed": seed}


def read(reply: Mapping[str, Any]) -> Response:
    """Read the answer from a reply of either endpoint. Raises one of `MALFORMED` if it does not match the API."""
    choice = reply["choices"][0]
    usage = reply.get("usage") or {}
    prompt_tokens = _count(usage.get("prompt_tokens"))
    completion_tokens = _count(usage.get("completion_tokens"))
    message = choice.get("message")
    text = choice["text"] if message is None else _content(message)
    refusal = message and message.get("refusal")
    finish_reason = choice.get("finish_reason")
    thought = message and (message.get("reasoning_content") or message.get("reasoning"))
    reasoning = thought if isinstance(thought, str) else None
    if not isinstance(text, str | None) or not isinstance(finish_reason, str | None):
        raise TypeError(f"an answer of type {type(text).__name__}, ended by {finish_reason!r}")
    if refusal or finish_reason == "content_filter":
        cause = str(refusal or "the server's content filter")[:1000]
        return Response(text or None, finish_reason, prompt_tokens, completion_tokens, error=REFUSED, cause=cause)
    text = (text or "").replace("\0", "")
    return Response(text, finish_reason, prompt_tokens, completion_tokens, reasoning=reasoning)


def _content(message: Mapping[str, Any]) -> Any:
    """Return the text of a message: also of typed parts, and the arguments of the only tool call if there is no text."""
    content = message["content"]
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") or "" for part in content]
        return "".join(parts)
    calls = message.get("tool_calls")
    if not content and isinstance(calls, list) and len(calls) == 1:
        return calls[0]["function"]["arguments"]
    return content


def _count(tokens: Any) -> int:
    """Return a number of tokens, which some servers give as a float."""
    if tokens is None:
        return 0
    if isinstance(tokens, bool) or not isinstance(tokens, int | float) or tokens < 0 or tokens != int(tokens):
        raise TypeError(f"a usage of {tokens!r} tokens")
    return int(tokens)


def first_token_logprobs(reply: Mapping[str, Any], tokens: Sequence[int]) -> tuple[float, ...] | None:
    """Return normalized log-probabilities of `tokens` as the first token of a reply, or None if one is missing."""
    logprobs = reply["choices"][0].get("logprobs") or {}
    content = logprobs.get("content") or [{}]
    by_token = {entry["token"]: entry["logprob"] for entry in content[0].get("top_logprobs") or ()}
    values: list[Any] = [by_token.get(f"token_id:{token}") for token in tokens]
    return None if any(value is None for value in values) else normalize_logprobs(values)


def read_choice(reply: Mapping[str, Any], choices: Sequence[str]) -> Response:
    """Read a choice from a reply, as plain text or JSON of `choice_schema`, with log-probabilities if available."""
    response = read(reply)
    if response.error is not None:
        return response
    written = take_apart(response.text or "")
    # Behind a thought, the tokens of the choice could not be told from those of the thought.
    logprobs = None if written.thought else choice_logprobs(choices, reply, response.text or "")
    text = find_choice(written.answer, choices)
    return replace(response, text=text, choice_logprobs=logprobs, reasoning=response.reasoning or written.thought)


def choice_logprobs(choices: Sequence[str], reply: Mapping[str, Any], text: str) -> tuple[float, ...] | None:
    """Return normalized log-probabilities of the choices, from the most probable tokens where the choice begins.

    A plain answer begins with the choice; in JSON, the choice follows the first colon. A choice that begins with none
    of these tokens gets minus infinity. The result is None if the server gave no log-probabilities, no token fits a
    choice, a token fits two choices, or the choice begins within a token.
    """
    content = (reply["choices"][0].get("logprobs") or {}).get("content")
    if not content:
        return None
    start = 0 if text.strip() in choices else text.find(":")
    place = 0
    for position in content:
        token = position["token"]
        if place >= start and token.strip(AROUND):
            break
        place += len(token)
    else:
        return None
    best = dict.fromkeys(choices, -math.inf)
    for entry in position.get("top_logprobs") or ():
        token = entry["token"].strip(AROUND)
        fitting = [choice for choice in choices if token and choice.startswith(token)]
        if len(fitting) > 1:
            return None
        if fitting:
            best[fitting[0]] = max(best[fitting[0]], entry["logprob"])
    values = [best[choice] for choice in choices]
    return normalize_logprobs(values) if max(values) > -math.inf else None


def scored_logprobs(reply: Mapping[str, Any], tokens: Sequence[int], start: int) -> list[float] | None:
    """Return the log-probabilities of the prompt tokens from position `start`, or None if the server gives none."""
    positions = reply["choices"][0].get("prompt_logprobs")
    if positions is None:
        return None
    return [position[str(token)]["logprob"] for token, position in zip(tokens[start:], positions[start:], strict=True)]
