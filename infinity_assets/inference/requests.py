"""What is asked of a model, what comes back, and the key under which an answer is kept."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from infinity_assets.model_settings import Sampling

Kind: TypeAlias = Literal["generate", "complete", "score", "embed"]
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
    """Name of the prompt file."""
    prompt_hash: str
    """Hash of the prompt file: another wording is another question."""
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
    """Name of the prompt file, or of what stands in its place."""
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
class EmbedRequest:
    """The vector of a text. It belongs to the text alone, so there is no row id."""

    text: str


Request: TypeAlias = GenerateRequest | CompleteRequest | ScoreRequest
"""What a language model answers."""


@dataclass(frozen=True)
class Response:
    """One answer, or the reason why there is none. All columns but the key of a line in the response store."""

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
    window: int | None = None
    """The `max_model_len` that made this a `prompt_too_long` or a `cut`: under a larger one the request is asked again."""


def failed(error: str, cause: object, prompt_tokens: int = 0, seconds: float = 0.0, window: int | None = None) -> Response:
    """A response without an answer."""
    return Response(prompt_tokens=prompt_tokens, seconds=seconds, error=error, cause=str(cause)[:1000], window=window)


def normalised(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Log-probabilities, shifted so that the probabilities add up to 1."""
    top = max(logprobs)
    total = top + math.log(math.fsum(math.exp(value - top) for value in logprobs))
    return tuple(value - total for value in logprobs)


def most_tokens(request: Request) -> int:
    """The most tokens that an answer may have. A score has one, because engines know no request without."""
    return 1 if isinstance(request, ScoreRequest) else request.sampling.max_tokens


def request_key(model: str, request: Request | EmbedRequest) -> str:
    """The key of a request: the 128-bit BLAKE2b digest, in 32 hexadecimal digits, of the canonical JSON of what decides the answer.

    Generating: the kind, the model's identity (`model@revision`), the prompt's name and hash, the messages, temperature, top_p and
    max_tokens, the schema or the choices, the seed, the index. Completing: the same, with the text and the stops in the place of messages,
    schema and choices. Scoring: the kind, the model, the context, the answer. Embedding: the kind, the model with its length limit, the
    text. Left out on purpose: the row id (two rows with one question share the answer), the stage, retries, time-outs, batch size,
    concurrency, address of the server, engine arguments, the window (`max_model_len`).
    """
    parts: dict[str, Any]
    match request:
        case GenerateRequest():
            parts = {
                "kind": "generate",
                "model": model,
                "prompt": [request.prompt, request.prompt_hash],
                "messages": _turns(request.messages),
                "sampling": _sampling(request.sampling),
                # As text: a model fills the properties of a schema in their order, so that order decides the answer too.
                "schema": None if request.schema is None else json.dumps(request.schema),
                "choices": request.choices,
                "seed": request.seed,
                "index": request.index,
            }
        case CompleteRequest():
            parts = {
                "kind": "complete",
                "model": model,
                "prompt": [request.prompt, request.prompt_hash],
                "text": request.text,
                "sampling": _sampling(request.sampling),
                "stop": request.stop,
                "seed": request.seed,
                "index": request.index,
            }
        case ScoreRequest():
            parts = {"kind": "score", "model": model, "context": _turns(request.context), "answer": request.answer}
        case EmbedRequest():
            parts = {"kind": "embed", "model": model, "text": request.text}
    if attempt := getattr(request, "attempt", 0):
        parts["attempt"] = attempt
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _sampling(sampling: Sampling) -> list[float]:
    return [float(sampling.temperature), float(sampling.top_p), sampling.max_tokens]


def _turns(messages: Sequence[dict[str, str]]) -> list[list[str]]:
    return [[turn["role"], turn["content"]] for turn in messages]
