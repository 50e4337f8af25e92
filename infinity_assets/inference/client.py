"""What stages use: a batch of requests in, a frame of answers out, and no model loaded if the store has them all."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from infinity_assets.inference.engine import EngineUnavailable
from infinity_assets.inference.pool import EnginePool
from infinity_assets.inference.requests import (
    CONNECTION,
    EMPTY,
    INVALID_CHOICE,
    INVALID_JSON,
    RETRIABLE,
    CompleteRequest,
    EmbedRequest,
    GenerateRequest,
    Kind,
    Request,
    Response,
    RewardRequest,
    ScoreRequest,
    finite,
    request_key,
)
from infinity_assets.inference.store import RESPONSES, ResponseStore
from infinity_assets.model_settings import EmbedderSpec, ModelSpec, RewardSpec
from infinity_assets.rows.schema import GENERATIONS

if TYPE_CHECKING:
    import numpy as np

    from infinity_assets.inference.embedder import Embedder

FLUSH_SECONDS = 5.0
FLUSH_ANSWERS = 256
REPORT_SECONDS = 2.0
SEGMENTS = 64
"""A model's segments are merged when there are more."""
HOPELESS = 16
"""This many retriable errors in a row, and the stage fails instead of producing rows of errors."""
EMBED_CHUNK = 1024
"""Texts embedded between two writes to the store."""

ANSWERS = pl.Schema(
    {
        "row_id": pl.String,
        "prompt": pl.String,
        "index": pl.Int64,
        **RESPONSES,
        "cached": pl.Boolean,
    }
)
"""A line per request, in request order: its row, prompt and draw, its key, the stored response, and whether it cost nothing: the store had
it, or an equal request of the batch was asked.
"""


class Progress(NamedTuple):
    """How far a batch is, in distinct requests."""

    stage: str
    done: int
    total: int
    cached: int
    """Of `done`, found in the store."""
    tokens: int
    """Generated, or of a score read, since the batch began."""


@dataclass(frozen=True)
class Answers:
    """The answers to a batch, and its lines for the books."""

    frame: pl.DataFrame
    """Of schema `ANSWERS`. A failed request has an `error`, a `cause` and no text; invalid output keeps its text."""
    generations: pl.DataFrame
    """Of schema `rows.schema.GENERATIONS`."""


class Inference:
    """Model calls through the response store.

    Every key is looked up first and an engine is opened only if one is missing; equal requests are asked once; answers reach the store
    every few seconds, so a killed stage loses what was in flight. Results are joined by key, never by position.
    """

    def __init__(self, store: ResponseStore, pool: EnginePool, progress: Callable[[Progress], None] | None = None):
        self._store, self._pool = store, pool
        self._progress = progress or (lambda _: None)

    def generate(self, spec: ModelSpec, requests: Sequence[GenerateRequest], stage: str) -> Answers:
        """Answers, JSON and choices included. JSON is parsed and choices are compared: what does not fit has an error and keeps its text.

        Raises `EngineUnavailable` when nothing can be answered: what was answered before is stored, and the next run goes on from there.
        """
        return self._ask("generate", spec, requests, stage)

    def complete(self, spec: ModelSpec, requests: Sequence[CompleteRequest], stage: str) -> Answers:
        """Continuations of texts, with no chat template. Raises as `generate` does."""
        return self._ask("complete", spec, requests, stage)

    def score(self, spec: ModelSpec, requests: Sequence[ScoreRequest], stage: str) -> Answers:
        """Log-probabilities of answers, in nats: `sum_logprob` over `answer_tokens` tokens. Raises as `generate` does."""
        return self._ask("score", spec, requests, stage)

    def reward(self, spec: RewardSpec, requests: Sequence[RewardRequest], stage: str) -> Answers:
        """Rewards of conversations: `reward`, finite or null with an error. Raises as `generate` does."""
        return self._ask("reward", spec, requests, stage)

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Vectors of unit length, float32 of shape (texts, width), in the order of the texts. No texts give shape (0, 0)."""
        import numpy as np

        keys = [request_key(spec.identity, EmbedRequest(text)) for text in texts]
        frames = [self._store.get("embed", spec.identity, keys)]
        had = set(frames[0]["key"])
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in had}
        if missing:
            # In order of length a chunk holds texts of one length, and little of a batch is padding.
            order = sorted(missing, key=lambda key: (len(missing[key]), key))
            with self._pool.embedder(spec) as embedder:
                for start in range(0, len(order), EMBED_CHUNK):
                    chunk = order[start : start + EMBED_CHUNK]
                    vectors = np.asarray(embedder.encode([missing[key] for key in chunk]), dtype=np.float32)
                    frames.append(pl.DataFrame({"key": chunk, "vector": vectors}))
                    self._store.append("embed", spec.identity, frames[-1])
                    self._progress(Progress(stage, len(had) + start + len(chunk), len(had) + len(order), len(had), 0))
        filled = [frame for frame in frames if not frame.is_empty()]
        if not filled:
            return np.empty((0, 0), dtype=np.float32)
        return pl.DataFrame({"key": keys}).join(pl.concat(filled), on="key", how="left", maintain_order="left")["vector"].to_numpy()

    def embedder(self, spec: EmbedderSpec) -> AbstractContextManager["Embedder"]:
        """The embedder itself, for the block: where vectors by the million are kept as rows, the store would hold them a second time."""
        return self._pool.embedder(spec)

    def release(self) -> None:
        """Close the engines of the pool."""
        self._pool.release()

    def _ask(self, kind: Kind, spec: ModelSpec | RewardSpec, requests: Sequence[Request | RewardRequest], stage: str) -> Answers:
        model = spec.identity
        keys = [request_key(model, request) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        stored = _usable(self._store.get(kind, model, list(distinct)), spec)
        had = set(stored["key"])
        missing = {key: request for key, request in distinct.items() if key not in had}
        self._progress(Progress(stage, len(had), len(distinct), len(had), 0))
        lost = pl.DataFrame(schema=RESPONSES)
        if missing:
            lost = self._ask_engine(kind, spec, missing, stage, len(had))
            self._store.compact(above=SEGMENTS)
            stored = self._store.get(kind, model, list(distinct))  # what a stage sees is what the store holds
        answers = pl.concat([stored.join(lost, on="key", how="anti"), lost])
        asked = pl.DataFrame(
            {
                "key": keys,
                "row_id": [request.row_id for request in requests],
                "prompt": [request.prompt for request in requests],
                "index": [getattr(request, "index", 0) for request in requests],
            },
            schema={name: ANSWERS[name] for name in ("key", "row_id", "prompt", "index")},
        )
        cached = pl.col("key").is_in(list(had)) | ~pl.col("key").is_first_distinct()
        frame = asked.join(answers, on="key", how="left", maintain_order="left").with_columns(cached=cached)
        books = frame.with_columns(
            request_key="key", kind=pl.lit(kind), model=pl.lit(model), error=pl.concat_str("error", "cause", separator=": ")
        )
        return Answers(frame.select(ANSWERS.names()), _conform(books, GENERATIONS))

    def _ask_engine(
        self, kind: Kind, spec: ModelSpec | RewardSpec, missing: dict[str, Request | RewardRequest], stage: str, had: int
    ) -> pl.DataFrame:
        """Ask what is missing and store it. Returns the lines that are not stored: retriable errors."""
        keys, requests = list(missing), list(missing.values())
        unsaved: list[dict[str, Any]] = []
        lost: list[dict[str, Any]] = []
        done, tokens, in_a_row = had, 0, 0
        flushed = reported = time.monotonic()
        with self._pool.engine(spec) as engine, closing(engine.run(requests)) as responses:
            try:
                for position, response in responses:
                    response = _checked(requests[position], response)
                    retriable = response.error in RETRIABLE
                    (lost if retriable else unsaved).append({"key": keys[position], **asdict(response)})
                    in_a_row = in_a_row + 1 if retriable else 0
                    if in_a_row == HOPELESS:
                        raise EngineUnavailable(f"{stage}: {spec.model}: {HOPELESS} errors in a row, the last: {_error(lost[-1])}")
                    done, tokens = done + 1, tokens + (response.completion_tokens or response.prompt_tokens)
                    now = time.monotonic()
                    if len(unsaved) >= FLUSH_ANSWERS or now - flushed >= FLUSH_SECONDS:
                        self._flush(kind, spec, unsaved)
                        flushed = now
                    if now - reported >= REPORT_SECONDS:
                        self._progress(Progress(stage, done, had + len(keys), had, tokens))
                        reported = now
            finally:
                self._flush(kind, spec, unsaved)
        if len(lost) == len(keys) and all(line["error"] == CONNECTION for line in lost):
            raise EngineUnavailable(f"{stage}: {spec.model} was not reached: {_error(lost[-1])}")
        self._progress(Progress(stage, done, had + len(keys), had, tokens))
        return pl.DataFrame(lost, schema=RESPONSES)

    def _flush(self, kind: Kind, spec: ModelSpec | RewardSpec, lines: list[dict[str, Any]]) -> None:
        self._store.append(kind, spec.identity, pl.DataFrame(lines, schema=RESPONSES))
        lines.clear()


def _error(line: dict[str, Any]) -> str:
    return f"{line['error']}: {line['cause']}"


def _usable(stored: pl.DataFrame, spec: ModelSpec | RewardSpec) -> pl.DataFrame:
    """Without what a smaller window made too long, or cut."""
    return stored.filter(pl.col("window").is_null() | (pl.col("window") >= spec.max_model_len))


def _checked(request: Request | RewardRequest, response: Response) -> Response:
    """The response, with an error if its text, or its number, is not what was asked for."""
    if response.error is not None or isinstance(request, ScoreRequest | RewardRequest):
        return finite(response)
    text = response.text or ""
    if not text.strip():
        return replace(response, error=EMPTY, cause="the model wrote nothing")
    if isinstance(request, CompleteRequest):
        return response
    if request.choices and text not in request.choices:
        return replace(response, error=INVALID_CHOICE, cause=f"{text[:80]!r} is none of {', '.join(request.choices)}")
    if request.schema is not None:
        try:
            json.loads(text)
        except ValueError as error:
            cut = " (cut at max_tokens)" if response.finish_reason == "length" else ""
            return replace(response, error=INVALID_JSON, cause=f"{error}{cut}")
    return response


def _conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with exactly the columns of a schema; what it lacks is null."""
    present = set(frame.columns)
    return frame.select((pl.col(name) if name in present else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items())
