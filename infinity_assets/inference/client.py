"""What stages use: a batch of requests in, a frame of answers out, and no model loaded if the store has them all."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from infinity_assets.inference.budget import Budget, BudgetSpent
from infinity_assets.inference.checking import checked
from infinity_assets.inference.engine import EngineUnavailable
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.pool import EnginePool
from infinity_assets.inference.requests import (
    CONNECTION,
    EMPTY,
    INVALID_CHOICE,
    INVALID_JSON,
    PROMPT_TOO_LONG,
    REFUSED,
    RETRIABLE,
    TRUNCATED,
    CompleteRequest,
    EmbedRequest,
    GenerateRequest,
    Kind,
    Request,
    ScoreRequest,
    most_tokens,
    request_key,
)
from infinity_assets.inference.store import RESPONSES, ResponseStore
from infinity_assets.model_settings import EmbedderSpec, ModelSpec, Retries
from infinity_assets.rows.ids import digest
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
    every few seconds, so a killed stage loses what was in flight. Results are joined by key, never by position. An answer that cannot be
    used is asked for again as `retries` says: each attempt is a request of its own, stored and replayed like all others.

    Args:
        store: Where answers are kept.
        pool: Opens engines.
        progress: Told how far a batch is.
        ledger: Writes down every batch.
        budget: What may be spent; null for no bound.
        retries: How often an answer that cannot be used is asked for again.
    """

    def __init__(
        self,
        store: ResponseStore,
        pool: EnginePool,
        progress: Callable[[Progress], None] | None = None,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        retries: Retries = Retries(),
    ):
        self._store, self._pool = store, pool
        self._progress = progress or (lambda _: None)
        self._ledger, self._budget, self._retries = ledger or Ledger(), budget or Budget(), retries

    def generate(self, spec: ModelSpec, requests: Sequence[GenerateRequest], stage: str) -> Answers:
        """Answers, JSON and choices included. JSON is held against its schema and choices are compared: what does not fit has an error and
        keeps its text.

        Raises:
            EngineUnavailable: Nothing can be answered at present.
            BudgetSpent: The next call might cost more than is left. As above, what was answered is stored, and the next run goes on from there.
        """
        return self._ask("generate", spec, requests, stage)

    def complete(self, spec: ModelSpec, requests: Sequence[CompleteRequest], stage: str) -> Answers:
        """Continuations of texts, with no chat template. Raises as `generate` does."""
        return self._ask("complete", spec, requests, stage)

    def score(self, spec: ModelSpec, requests: Sequence[ScoreRequest], stage: str) -> Answers:
        """Log-probabilities of answers, in nats: `sum_logprob` over `answer_tokens` tokens. Raises as `generate` does."""
        return self._ask("score", spec, requests, stage)

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

    def _ask(self, kind: Kind, spec: ModelSpec, requests: Sequence[Request], stage: str) -> Answers:
        """A batch, and its answers again where they cannot be used: attempt by attempt, the keys of the first standing for all."""
        keys = [request_key(spec.identity, request) for request in requests]
        asked = pl.DataFrame(
            {
                "first": keys,
                "row_id": [request.row_id for request in requests],
                "prompt": [request.prompt for request in requests],
                "index": [getattr(request, "index", 0) for request in requests],
            },
            schema={"first": pl.String, **{name: ANSWERS[name] for name in ("row_id", "prompt", "index")}},
        )
        books, answers, seconds = [], pl.DataFrame(schema={"first": pl.String, **RESPONSES, "had": pl.Boolean}), 0.0
        current = dict(zip(keys, requests, strict=True))
        tries: Counter[str] = Counter()
        for attempt in itertools.count():
            lines, took = self._answered(kind, spec, current, stage)
            seconds += took
            books.append(_lines(asked, lines, kind, spec, attempt, took))
            usable = ~pl.col("error").fill_null("").is_in([*RETRIABLE, PROMPT_TOO_LONG]) | (attempt == 0)
            answers = pl.concat([answers, lines.filter(usable)]).unique("first", keep="last", maintain_order=True)
            current = self._again(current, lines, tries, attempt)
            if not current:
                break
        cached = pl.col("had") | ~pl.col("first").is_first_distinct()
        frame = asked.join(answers, on="first", how="left", maintain_order="left").with_columns(cached=cached)
        written = pl.concat(books)
        self._ledger.add(written, seconds)
        return Answers(frame.select(ANSWERS.names()), written)

    def _answered(self, kind: Kind, spec: ModelSpec, current: Mapping[str, Request], stage: str) -> tuple[pl.DataFrame, float]:
        """One line per request of `current` (by the key of its first attempt): first, the line of the store, had; and the engine's seconds."""
        firsts = list(current)
        keys = [request_key(spec.identity, request) for request in current.values()]
        by_key = dict(zip(keys, current.values(), strict=True))
        stored = self._stored(kind, spec, by_key)
        had = set(stored["key"])
        missing = {key: request for key, request in by_key.items() if key not in had}
        self._progress(Progress(stage, len(had), len(by_key), len(had), 0))
        lost, seconds = pl.DataFrame(schema=RESPONSES), 0.0
        if missing:
            lost, seconds = self._ask_engine(kind, spec, missing, stage, len(had))
            self._store.compact(above=SEGMENTS)
            stored = self._stored(kind, spec, by_key)  # what a stage sees is what the store holds
        found = pl.concat([stored.join(lost, on="key", how="anti"), lost]).with_columns(had=pl.col("key").is_in(list(had)))
        return pl.DataFrame({"first": firsts, "key": keys}, schema=dict.fromkeys(("first", "key"), pl.String)).join(
            found, on="key", how="left", maintain_order="left"
        ), seconds

    def _stored(self, kind: Kind, spec: ModelSpec, by_key: Mapping[str, Request]) -> pl.DataFrame:
        return _usable(self._store.get(kind, spec.identity, list(by_key)), spec)

    def _again(self, current: Mapping[str, Request], lines: pl.DataFrame, tries: Counter[str], attempt: int) -> dict[str, Request]:
        """What is asked again: by the key of the first attempt, the next request."""
        allowed = {
            INVALID_JSON: self._retries.invalid,
            INVALID_CHOICE: self._retries.invalid,
            EMPTY: self._retries.empty,
            TRUNCATED: self._retries.truncated,
            REFUSED: self._retries.refused,
        }
        following = {}
        for first, error in lines.filter(pl.col("error").is_in(list(allowed))).select("first", "error").iter_rows():
            request = current[first]
            if isinstance(request, ScoreRequest) or tries[f"{first} {error}"] >= allowed[error]:
                continue
            tries[f"{first} {error}"] += 1
            if error == TRUNCATED:
                sampling = request.sampling.model_copy(update={"max_tokens": 2 * request.sampling.max_tokens})
                following[first] = replace(request, sampling=sampling)
            else:
                hotter = max(request.sampling.temperature, self._retries.temperature)
                seed = int(digest(f"{first}:{attempt + 1}")[:8], 16)
                sampling = request.sampling.model_copy(update={"temperature": hotter})
                following[first] = replace(request, sampling=sampling, seed=seed, attempt=attempt + 1)
        return following

    def _ask_engine(self, kind: Kind, spec: ModelSpec, missing: dict[str, Request], stage: str, had: int) -> tuple[pl.DataFrame, float]:
        """Ask what is missing and store it. Returns the lines that are not stored (retriable errors), and how long the engine worked."""
        keys, requests = list(missing), list(missing.values())
        unsaved: list[dict[str, Any]] = []
        lost: list[dict[str, Any]] = []
        done, tokens, in_a_row = had, 0, 0
        with self._pool.engine(spec) as engine, closing(engine.run(requests, self._budget.admission(spec.price))) as responses:
            began = flushed = reported = time.monotonic()
            try:
                for position, response in responses:
                    request = requests[position]
                    self._budget.settle(spec.price, response.prompt_tokens, response.completion_tokens, most_tokens(request))
                    response = checked(request, response)
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
                self._budget.settled()
                seconds = time.monotonic() - began
                self._budget.add(seconds / 3600 * spec.price.hour)
        if self._budget.spent:
            raise BudgetSpent(f"{stage}: {self._budget.sentence()}")
        if len(lost) == len(keys) and all(line["error"] == CONNECTION for line in lost):
            raise EngineUnavailable(f"{stage}: {spec.model} was not reached: {_error(lost[-1])}")
        self._progress(Progress(stage, done, had + len(keys), had, tokens))
        return pl.DataFrame(lost, schema=RESPONSES), seconds

    def _flush(self, kind: Kind, spec: ModelSpec, lines: list[dict[str, Any]]) -> None:
        self._store.append(kind, spec.identity, pl.DataFrame(lines, schema=RESPONSES))
        lines.clear()


def _error(line: dict[str, Any]) -> str:
    return f"{line['error']}: {line['cause']}"


def _usable(stored: pl.DataFrame, spec: ModelSpec) -> pl.DataFrame:
    """Without what a smaller window made too long, or cut."""
    return stored.filter(pl.col("window").is_null() | (pl.col("window") >= spec.max_model_len))


def _lines(asked: pl.DataFrame, lines: pl.DataFrame, kind: Kind, spec: ModelSpec, attempt: int, seconds: float) -> pl.DataFrame:
    """The lines of an attempt for the books, of schema `GENERATIONS`, in request order. What is paid by the hour falls on calls by their tokens."""
    price, made = spec.price, ~pl.col("cached")
    tokens = (pl.col("prompt_tokens") + pl.col("completion_tokens")).fill_null(0)
    share = (tokens * made / (tokens * made).sum()).fill_nan(0.0)
    by_token = (pl.col("prompt_tokens") * price.prompt + pl.col("completion_tokens") * price.completion) / 1e6
    told = asked.join(lines, on="first", how="inner", maintain_order="left").with_columns(
        cached=pl.col("had") | ~pl.col("first").is_first_distinct(),
        request_key="key", kind=pl.lit(kind), model=pl.lit(spec.identity), attempt=pl.lit(attempt),
        error=pl.concat_str("error", "cause", separator=": "),
    )  # fmt: skip
    cost = pl.when(made).then(by_token.fill_null(0.0) + share * (seconds / 3600 * price.hour)).otherwise(0.0)
    return told.with_columns(cost=cost).select(pl.col(name).cast(dtype) for name, dtype in GENERATIONS.items())
