"""What is asked of a model, what comes back, and the key under which an answer is kept."""

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

# Classes of errors. Those of the first group are an answer, and stored.
PROMPT_TOO_LONG: Final = "prompt_too_long"
INVALID_REQUEST: Final = "invalid_request"
INVALID_JSON: Final = "invalid_json"
INVALID_CHOICE: Final = "invalid_choice"
TRUNCATED: Final = "truncated"
"""JSON that ends at max_tokens."""
REFUSED: Final = "refused"
"""By the server's filter, or by the model where its API says so."""
EMPTY: Final = "empty"
NOT_FINITE: Final = "not_finite"
"""A score or a reward that is no number."""
# Bad luck, not stored: asked again by the next run.
ENGINE_ERROR: Final = "engine_error"
CONNECTION: Final = "connection"
RATE_LIMITED: Final = "rate_limited"
TIMEOUT: Final = "timeout"
BAD_REPLY: Final = "bad_reply"
"""Something came back that is not what the API promises."""
RETRIABLE: Final = frozenset({ENGINE_ERROR, CONNECTION, RATE_LIMITED, TIMEOUT, BAD_REPLY})


@dataclass(frozen=True)
class GenerateRequest:
    """One answer to be written. With a `schema` it is JSON of that schema; with `choices` it is one of them, taken greedily."""

    row_id: str
    prompt: str
    """Name and language of the prompt: `tag.zh`."""
    prompt_hash: str
    """Hash of the prompt in that language: another wording is another question."""
    messages: Messages
    sampling: Sampling
    schema: dict | None = None
    choices: tuple[str, ...] | None = None
    seed: int | None = None
    index: int = 0
    """Number of the draw, where a row is asked the same question several times."""
    attempt: int = 0
    """Above 0 where an earlier answer could not be used."""

    def __post_init__(self):
        if self.schema is not None and self.choices is not None:
            raise ValueError("a request has a schema or choices, not both")
        if not self.messages:
            raise ValueError("a request has messages")


@dataclass(frozen=True)
class CompleteRequest:
    """The continuation of a text that holds its own special tokens: no chat template, none added. For models tuned on a grammar of their own."""

    row_id: str
    prompt: str
    """Name and language of the prompt whose examples are shown, or what stands in its place."""
    prompt_hash: str
    text: str
    sampling: Sampling
    stop: tuple[str, ...] = ()
    """The continuation ends before the first of these, and at the model's end of text. Four at most: that is what OpenAI's API takes."""
    seed: int | None = None
    index: int = 0
    attempt: int = 0

    def __post_init__(self):
        if not self.text:
            raise ValueError("a request has a text")


@dataclass(frozen=True)
class ScoreRequest:
    """The log-probability of an answer after a context. No context means the assistant's header alone: IFD's unconditional score."""

    row_id: str
    prompt: str
    """Name of the score, for the books: `ifd_conditional`, say."""
    context: Messages
    answer: str

    def __post_init__(self):
        if not self.answer:
            raise ValueError("an empty answer has no log-probability")


@dataclass(frozen=True)
class RewardRequest:
    """How good a conversation's answers are: the one number of a reward model."""

    row_id: str
    prompt: str
    """Name of the reward, for the books."""
    messages: Messages

    def __post_init__(self):
        if not self.messages:
            raise ValueError("a request has messages")


@dataclass(frozen=True)
class EmbedRequest:
    """The vector of a text. It belongs to the text alone, so there is no row id."""

    text: str


Request: TypeAlias = GenerateRequest | CompleteRequest | ScoreRequest
"""What a language model answers."""


@dataclass(frozen=True)
class Response:
    """One answer, or the reason why there is none."""

    text: str | None = None
    finish_reason: str | None = None
    """`stop`, or `length` where max_tokens was reached; of a score `scored`, or `cut` where the answer's end did not fit in the window."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """From submission to answer."""
    error: str | None = None
    """One of the classes above."""
    cause: str | None = None
    """What went wrong, in words."""
    sum_logprob: float | None = None
    """Of a score: the sum of the answer tokens' log-probabilities, in nats."""
    answer_tokens: int | None = None
    """Of a score: the number of answer tokens in that sum."""
    choice_logprobs: tuple[float, ...] | None = None
    """Of a choice: the log-probabilities of the choices, in their order, their probabilities adding up to 1. Null where two choices share
    a first token.
    """
    reward: float | None = None
    """Of a reward: the model's number, finite, of any size."""
    window: int | None = None
    """The `max_model_len` that made this a `prompt_too_long` or a `cut`: under a larger one the request is asked again."""


def failed(
    error: str, cause: object, prompt_tokens: int = 0, seconds: float = 0.0, window: int | None = None
) -> Response:
    """A response without an answer."""
    return Response(prompt_tokens=prompt_tokens, seconds=seconds, error=error, cause=str(cause)[:1000], window=window)


def finite(response: Response) -> Response:
    """The response to a score or a reward; with the error `not_finite` in the place of a number that is none."""
    numbers = (response.sum_logprob, response.reward)
    if all(number is None or math.isfinite(number) for number in numbers):
        return response
    found = next(number for number in numbers if number is not None)
    return replace(
        response, sum_logprob=None, answer_tokens=None, reward=None, error=NOT_FINITE, cause=f"the model gave {found}"
    )


def normalised(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Log-probabilities, shifted so that the probabilities add up to 1."""
    top = max(logprobs)
    total = top + math.log(math.fsum(math.exp(value - top) for value in logprobs))
    return tuple(value - total for value in logprobs)


def room_of(request: Request | RewardRequest) -> int:
    """The tokens that the answer may have: `max_tokens`, or 0 for a score or a reward."""
    return request.sampling.max_tokens if isinstance(request, (GenerateRequest, CompleteRequest)) else 0


def most_tokens(request: Request | RewardRequest) -> int:
    """The most tokens that an engine may write for it: a score has one, because engines know no request without; a reward has none."""
    return 1 if isinstance(request, ScoreRequest) else room_of(request)


def request_key(model: str, request: Request | RewardRequest | EmbedRequest) -> str:
    """The key of a request: the 128-bit BLAKE2b digest, in 32 hexadecimal digits, of the canonical JSON of what decides the answer.

    Generating: the kind, the model's identity (`model@revision`), the prompt's name and hash, the messages, temperature and top_p, the schema
    or the choices, the seed, the index, and the attempt if it is not the first. Completing: the same, with the text and the stops in the
    place of messages, schema and choices. Scoring: the kind, the model, the context, the answer. Rewarding: the kind, the model, the
    messages. Embedding: the kind, the model with its length limit, the text. Left out on purpose: the row id (two rows with one question
    share the answer), the stage, retries, time-outs, batch size, concurrency, address of the server, engine arguments; and `max_tokens` and
    the window (`max_model_len`), which change only the answers that they cut: the store knows for which requests a line holds.
    """
    parts: dict[str, Any]
    match request:
        case GenerateRequest():
            parts = {
                "kind": "generate",
                "messages": _turns(request.messages),
                # As text: a model fills the properties of a schema in their order, so that order decides the answer too.
                "schema": None if request.schema is None else json.dumps(request.schema),
                "choices": request.choices,
                **_drawn(request),
            }
        case CompleteRequest():
            parts = {"kind": "complete", "text": request.text, "stop": request.stop, **_drawn(request)}
        case ScoreRequest():
            parts = {"kind": "score", "context": _turns(request.context), "answer": request.answer}
        case RewardRequest():
            parts = {"kind": "reward", "messages": _turns(request.messages)}
        case EmbedRequest():
            parts = {"kind": "embed", "text": request.text}
    parts["model"] = model
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _drawn(request: GenerateRequest | CompleteRequest) -> dict[str, Any]:
    """What decides how an answer is drawn."""
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
