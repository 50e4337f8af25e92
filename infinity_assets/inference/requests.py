"""Requests to models, their responses, and the keys under which responses are stored."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import orjson

from infinity_assets.settings.models import Sampling

Kind: TypeAlias = Literal["generate", "complete", "score", "reward", "embed"]
Messages: TypeAlias = tuple[dict[str, str], ...]

# Error classes. The first group counts as an answer and is stored.
PROMPT_TOO_LONG: Final = "prompt_too_long"
INVALID_REQUEST: Final = "invalid_request"
INVALID_JSON: Final = "invalid_json"
INVALID_CHOICE: Final = "invalid_choice"
TRUNCATED: Final = "truncated"  # JSON that ends at max_tokens, or a thought without an answer
REFUSED: Final = "refused"  # by the server's content filter, or by the model if the API reports it
EMPTY: Final = "empty"
NOT_FINITE: Final = "not_finite"  # a score or reward that is infinite or NaN
# Transient errors are not stored, so the next run sends the request again.
ENGINE_ERROR: Final = "engine_error"
CONNECTION: Final = "connection"
RATE_LIMITED: Final = "rate_limited"
TIMEOUT: Final = "timeout"
BAD_REPLY: Final = "bad_reply"  # a reply that does not match the API
RETRIABLE: Final = frozenset({ENGINE_ERROR, CONNECTION, RATE_LIMITED, TIMEOUT, BAD_REPLY})


@dataclass(frozen=True)
class GenerateRequest:
    """A request for one answer: JSON if there is a `schema`, the most probable of the `choices`, or free text."""

    row_id: str
    prompt: str
    """Name and language of the prompt, such as `tag.zh`."""
    prompt_hash: str
    """Hash of the prompt in that language, so that a new wording makes a new request."""
    messages: Messages
    sampling: Sampling
    schema: dict | None = None
    choices: tuple[str, ...] | None = None
    seed: int | None = None
    index: int = 0
    """Number of the draw, from 0, if a row gets the same prompt several times."""
    attempt: int = 0
    """Number of earlier attempts. A retry that only doubles `max_tokens` keeps the number of its predecessor."""

    def __post_init__(self):
        if self.schema is not None and self.choices is not None:
            raise ValueError("a request can have a schema or choices, not both")
        if not self.messages:
            raise ValueError("a request needs messages")


@dataclass(frozen=True)
class CompleteRequest:
    """A request for the continuation of a text, for models that were trained on a text format of their own.

    The text must contain all special tokens: no chat template is applied, and no token is added.
    """

    row_id: str
    prompt: str
    """Name and language of the prompt that provides the examples. Without such a prompt, any name."""
    prompt_hash: str
    text: str
    sampling: Sampling
    stop: tuple[str, ...] = ()
    """Strings that end the continuation, in addition to the model's end of text. OpenAI's API allows at most four."""
    seed: int | None = None
    index: int = 0
    attempt: int = 0

    def __post_init__(self):
        if not self.text:
            raise ValueError("a request needs a text")


@dataclass(frozen=True)
class ScoreRequest:
    """A request for the log-probability of an answer after a context.

    Without a context, only the chat template's header of the assistant turn precedes the answer (`loss_alone` of IFD).
    """

    row_id: str
    prompt: str
    """Name of the score in the ledger table, such as `answer_in_context`."""
    context: Messages
    answer: str

    def __post_init__(self):
        if not self.answer:
            raise ValueError("an empty answer has no log-probability")


@dataclass(frozen=True)
class RewardRequest:
    """A request for the number with which a reward model rates the answers of a conversation."""

    row_id: str
    prompt: str
    """Name of the reward in the ledger table."""
    messages: Messages

    def __post_init__(self):
        if not self.messages:
            raise ValueError("a request needs messages")


@dataclass(frozen=True)
class EmbedRequest:
    """A request for the vector of a text. The vector depends only on the text, so there is no row id."""

    text: str


Request: TypeAlias = GenerateRequest | CompleteRequest | ScoreRequest
"""A request to a language model."""


@dataclass(frozen=True)
class Response:
    """The answer to a request, or an error instead."""

    text: str | None = None
    finish_reason: str | None = None
    """`stop`, or `length` if `max_tokens` was reached. For a score: `scored`, or `cut` if the answer did not fit into
    the context window."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Seconds from the submission of the request to the answer."""
    error: str | None = None
    """One of the error classes of this module."""
    cause: str | None = None
    """Description of the error."""
    sum_logprob: float | None = None
    """For a score: sum of the log-probabilities of the answer tokens, in nats."""
    answer_tokens: int | None = None
    """For a score: number of answer tokens in that sum."""
    choice_logprobs: tuple[float, ...] | None = None
    """For a choice: log-probabilities in the order of the choices. The probabilities add up to 1. None if they are not
    available, for example because two choices share a first token."""
    reward: float | None = None
    """For a reward: the number from the reward model. It is finite, but has no fixed range."""
    window: int | None = None
    """The `max_model_len` that caused `prompt_too_long` or `cut`. With a larger one, the request is sent again."""
    reasoning: str | None = None
    """Thoughts of the model before the answer, from tags in the text or from a field of the server's reply."""


def make_failure(error: str, cause: object, prompt_tokens: int = 0, window: int | None = None) -> Response:
    """Return a response with an error. Its cause is cut to 1,000 characters."""
    return Response(prompt_tokens=prompt_tokens, error=error, cause=str(cause)[:1000], window=window)


def make_score(logprobs: Sequence[float], prompt_tokens: int = 0, cut_at: int | None = None) -> Response:
    """Return the response to a score request. `cut_at` is the context window if the answer was cut to fit into it."""
    return Response(
        finish_reason="scored" if cut_at is None else "cut",
        prompt_tokens=prompt_tokens,
        sum_logprob=math.fsum(logprobs),
        answer_tokens=len(logprobs),
        window=cut_at,
    )


def require_finite(response: Response) -> Response:
    """Replace an infinite or NaN score or reward by the error `not_finite`; return other responses unchanged."""
    number = response.reward if response.sum_logprob is None else response.sum_logprob
    if number is None or math.isfinite(number):
        return response
    cause = f"the model gave {number}"
    return replace(response, sum_logprob=None, answer_tokens=None, reward=None, error=NOT_FINITE, cause=cause)


def normalize_logprobs(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Shift log-probabilities so that the probabilities add up to 1."""
    top = max(logprobs)
    total = top + math.log(math.fsum(math.exp(value - top) for value in logprobs))
    return tuple(value - total for value in logprobs)


def text_of(request: Request | RewardRequest) -> str:
    """Return the concatenated text of a request, without the marks of a chat template."""
    if isinstance(request, CompleteRequest):
        return request.text
    if isinstance(request, ScoreRequest):
        return "".join(turn["content"] for turn in request.context) + request.answer
    return "".join(turn["content"] for turn in request.messages)


def room_of(request: Request | RewardRequest) -> int:
    """Return the maximum number of tokens of the answer: `max_tokens`, or 0 for a score or a reward."""
    return request.sampling.max_tokens if isinstance(request, (GenerateRequest, CompleteRequest)) else 0


def most_tokens(request: Request | RewardRequest) -> int:
    """Return the maximum number of tokens that an engine writes: like `room_of`, but 1 for a score."""
    return 1 if isinstance(request, ScoreRequest) else room_of(request)


def request_key(model: str, request: Request | RewardRequest | EmbedRequest) -> str:
    """Return a 128-bit BLAKE2b digest, as 32 hex digits, of the canonical JSON of everything that decides the answer.

    `model` is the model's `weights_id`. The key does not contain the row id, so two rows with the same request share
    the answer. It does not contain `max_tokens` and the context window (`max_model_len`) either, because they change
    only answers that they cut: the response store checks which requests a stored line answers.
    """
    parts: dict[str, Any]
    match request:
        case GenerateRequest():
            parts = {
                "kind": "generate",
                "messages": _turns(request.messages),
                # Text keeps the order of the properties, which matters because a model fills them in in that order.
                "schema": None if request.schema is None else json.dumps(request.schema),
                "choices": request.choices,
                **_sampling_parts(request),
            }
        case CompleteRequest():
            parts = {"kind": "complete", "text": request.text, "stop": request.stop, **_sampling_parts(request)}
        case ScoreRequest():
            parts = {"kind": "score", "context": _turns(request.context), "answer": request.answer}
        case RewardRequest():
            parts = {"kind": "reward", "messages": _turns(request.messages)}
        case EmbedRequest():
            parts = {"kind": "embed", "text": request.text}
    parts["model"] = model
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _sampling_parts(request: GenerateRequest | CompleteRequest) -> dict[str, Any]:
    sampling = request.sampling
    parts: dict[str, Any] = {
        "prompt": [request.prompt, request.prompt_hash],
        "sampling": [float(sampling.temperature), float(sampling.top_p)],
        "seed": request.seed,
        "index": request.index,
    }
    if request.attempt:
        parts["attempt"] = request.attempt
    return parts


def _turns(messages: Sequence[dict[str, str]]) -> list[list[str]]:
    return [[turn["role"], turn["content"]] for turn in messages]
