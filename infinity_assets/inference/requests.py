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

# Classes of errors. Those of the first group count as an answer and are stored.
PROMPT_TOO_LONG: Final = "prompt_too_long"
INVALID_REQUEST: Final = "invalid_request"
INVALID_JSON: Final = "invalid_json"
INVALID_CHOICE: Final = "invalid_choice"
TRUNCATED: Final = "truncated"  # JSON that ends at max_tokens
REFUSED: Final = "refused"  # by the server's filter, or by the model if its API reports that
EMPTY: Final = "empty"
NOT_FINITE: Final = "not_finite"  # a score or reward that is infinite or NaN
# Transient errors are not stored: the next run asks again.
ENGINE_ERROR: Final = "engine_error"
CONNECTION: Final = "connection"
RATE_LIMITED: Final = "rate_limited"
TIMEOUT: Final = "timeout"
BAD_REPLY: Final = "bad_reply"  # a reply that does not match the API
RETRIABLE: Final = frozenset({ENGINE_ERROR, CONNECTION, RATE_LIMITED, TIMEOUT, BAD_REPLY})


@dataclass(frozen=True)
class GenerateRequest:
    """A request for one answer: JSON with a `schema`, the most probable choice with `choices`, otherwise text."""

    row_id: str
    prompt: str
    """Name and language of the prompt, such as `tag.zh`."""
    prompt_hash: str
    """Hash of the prompt in that language: a different wording makes a different request."""
    messages: Messages
    sampling: Sampling
    schema: dict | None = None
    choices: tuple[str, ...] | None = None
    seed: int | None = None
    index: int = 0
    """Number of the draw, if a row gets the same prompt several times."""
    attempt: int = 0
    """Number of earlier attempts with unusable answers."""

    def __post_init__(self):
        if self.schema is not None and self.choices is not None:
            raise ValueError("a request can have a schema or choices, not both")
        if not self.messages:
            raise ValueError("a request needs messages")


@dataclass(frozen=True)
class CompleteRequest:
    """A request for the continuation of a text, for models tuned on a grammar of their own.

    The text holds its special tokens itself: no chat template is applied and no token is added.
    """

    row_id: str
    prompt: str
    """Name and language of the prompt that provides the examples, or a name in its place."""
    prompt_hash: str
    text: str
    sampling: Sampling
    stop: tuple[str, ...] = ()
    """Strings that end the continuation, besides the model's end of text. At most four, the limit of OpenAI's API."""
    seed: int | None = None
    index: int = 0
    attempt: int = 0

    def __post_init__(self):
        if not self.text:
            raise ValueError("a request needs a text")


@dataclass(frozen=True)
class ScoreRequest:
    """A request for the log-probability of an answer after a context.

    An empty context means the assistant's header alone: IFD's unconditional score.
    """

    row_id: str
    prompt: str
    """Name of the score in the ledger table, such as `ifd_conditional`."""
    context: Messages
    answer: str

    def __post_init__(self):
        if not self.answer:
            raise ValueError("an empty answer has no log-probability")


@dataclass(frozen=True)
class RewardRequest:
    """A request for a reward model's number on the quality of a conversation's answers."""

    row_id: str
    prompt: str
    """Name of the reward in the ledger table."""
    messages: Messages

    def __post_init__(self):
        if not self.messages:
            raise ValueError("a request needs messages")


@dataclass(frozen=True)
class EmbedRequest:
    """A request for the vector of a text. The vector depends on the text alone, so there is no row id."""

    text: str


Request: TypeAlias = GenerateRequest | CompleteRequest | ScoreRequest
"""A request to a language model."""


@dataclass(frozen=True)
class Response:
    """The answer to a request, or the error in its place."""

    text: str | None = None
    finish_reason: str | None = None
    """`stop`, or `length` if max_tokens was reached; for a score `scored`, or `cut` if the answer did not fit in the
    window."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Time from submission to answer."""
    error: str | None = None
    """One of the error classes above."""
    cause: str | None = None
    """Description of the error."""
    sum_logprob: float | None = None
    """For a score: sum of the log-probabilities of the answer tokens, in nats."""
    answer_tokens: int | None = None
    """For a score: number of answer tokens in that sum."""
    choice_logprobs: tuple[float, ...] | None = None
    """For a choice: log-probabilities in the order of the choices; the probabilities add up to 1. None if two choices
    share a first token."""
    reward: float | None = None
    """For a reward: the model's number, finite and of any size."""
    window: int | None = None
    """The `max_model_len` that caused a `prompt_too_long` or `cut`: with a larger one the request is asked again."""


def make_failure(
    error: str, cause: object, prompt_tokens: int = 0, seconds: float = 0.0, window: int | None = None
) -> Response:
    """Return a response with an error; the cause is cut to 1,000 characters."""
    return Response(prompt_tokens=prompt_tokens, seconds=seconds, error=error, cause=str(cause)[:1000], window=window)


def make_score(logprobs: Sequence[float], prompt_tokens: int = 0, cut_at: int | None = None) -> Response:
    """Return the response to a score request.

    Args:
        logprobs: Log-probabilities of the answer's tokens.
        prompt_tokens: Number of tokens of the prompt.
        cut_at: The window if it was too small for the answer, otherwise None.
    """
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
    """Return the text of a request, without the additions of the chat template."""
    if isinstance(request, CompleteRequest):
        return request.text
    if isinstance(request, ScoreRequest):
        return "".join(turn["content"] for turn in request.context) + request.answer
    return "".join(turn["content"] for turn in request.messages)


def room_of(request: Request | RewardRequest) -> int:
    """Return the number of tokens that the answer may have: `max_tokens`, or 0 for a score or a reward."""
    return request.sampling.max_tokens if isinstance(request, (GenerateRequest, CompleteRequest)) else 0


def most_tokens(request: Request | RewardRequest) -> int:
    """Return how many tokens an engine may write: 1 for a score, because engines require one; 0 for a reward."""
    return 1 if isinstance(request, ScoreRequest) else room_of(request)


def request_key(model: str, request: Request | RewardRequest | EmbedRequest) -> str:
    """Return the 128-bit BLAKE2b digest, in 32 hex digits, of the canonical JSON of all that decides the answer.

    The model is its `weights_id`. The row id is left out, so that two rows with the same request share the answer, and
    so is the way in which the engine is asked. `max_tokens` and the window (`max_model_len`) change only the answers
    that they cut: the store checks which requests a line answers.
    """
    parts: dict[str, Any]
    match request:
        case GenerateRequest():
            parts = {
                "kind": "generate",
                "messages": _turns(request.messages),
                # As text, because a model fills in properties in the order of the schema, so the order decides too.
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
