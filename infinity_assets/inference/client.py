"""What stages use: a batch of requests in, a frame of answers out, and no model loaded if the store has them all."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import polars as pl

from infinity_assets.inference.budget import Budget, BudgetSpent
from infinity_assets.inference.checking import checked
from infinity_assets.inference.engines.engine import EngineUnavailable
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import (
    CONNECTION,
    EMPTY,
    INVALID_CHOICE,
    INVALID_JSON,
    INVALID_REQUEST,
    PROMPT_TOO_LONG,
    REFUSED,
    RETRIABLE,
    TRUNCATED,
    CompleteRequest,
    EmbedRequest,
    GenerateRequest,
    Kind,
    Request,
    Response,
    RewardRequest,
    ScoreRequest,
    most_tokens,
    request_key,
    room_of,
)
from infinity_assets.inference.responses.store import RESPONSES, ResponseStore
from infinity_assets.rows.ids import digest
from infinity_assets.rows.schema import GENERATIONS
from infinity_assets.settings.models import EmbedderSpec, ModelSpec, Retries, RewardSpec

if TYPE_CHECKING:
    import numpy as np

    from infinity_assets.inference.engines.embedder import Embedder

AnyRequest: TypeAlias = Request | RewardRequest
Answering: TypeAlias = ModelSpec | RewardSpec

FLUSH_SECONDS = 5.0
FLUSH_ANSWERS = 256
REPORT_SECONDS = 2.0
SEGMENTS = 64
"""A model's segments are merged when there are more."""
HOPELESS = 16
"""This many retriable errors in a row, and the stage fails instead of producing rows of errors."""
ALL_REFUSED = 4
"""So many requests that are all invalid, and the stage fails: a setting is wrong, or the server."""
EMBED_CHUNK = 1024
"""Texts embedded between two writes to the store."""

_PAIR = ["key", "room"]
"""What an answer depends on: the key, and what the request may write."""

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
    seconds: float = 0.0
    """Since the engine began to work on it."""


class Share(NamedTuple):
    """What one of several askers wants of a model."""

    requests: "Sequence[AnyRequest]"
    stage: str
    ledger: Ledger


_FOUND = pl.Schema(
    {"at": pl.UInt32, **{name: dtype for name, dtype in RESPONSES.items() if name != "prompt"}, "had": pl.Boolean}
)
"""A line of the store for a request of a batch (`at`), and whether the store had it before."""
_CACHED = pl.col("had") | ~pl.col("at").is_first_distinct()


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

    def reward(self, spec: RewardSpec, requests: Sequence[RewardRequest], stage: str) -> Answers:
        """Rewards of conversations: `reward`, finite or null with an error. Raises as `generate` does."""
        return self._ask("reward", spec, requests, stage)

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Vectors of unit length, float32 of shape (texts, width), in the order of the texts. No texts give shape (0, 0)."""
        return self.embed_all(spec, [texts], stage)[0]

    def embed_all(self, spec: EmbedderSpec, parts: Sequence[Sequence[str]], stage: str) -> "list[np.ndarray]":
        """The vectors of the texts of several askers, which are embedded together."""
        import numpy as np

        vectors = self._vectors(spec, [text for part in parts for text in part], stage)
        return np.split(vectors, np.cumsum([len(part) for part in parts])[:-1])

    def _vectors(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
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
        return (
            pl.DataFrame({"key": keys})
            .join(pl.concat(filled), on="key", how="left", maintain_order="left")["vector"]
            .to_numpy()
        )

    def embedder(self, spec: EmbedderSpec) -> AbstractContextManager["Embedder"]:
        """The embedder itself, for the block: where vectors by the million are kept as rows, the store would hold them a second time."""
        return self._pool.embedder(spec)

    def release(self) -> None:
        """Close the engines of the pool."""
        self._pool.release()

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        return self.ask_all(kind, spec, [Share(requests, stage, self._ledger)])[0]

    def ask_all(self, kind: Kind, spec: Answering, shares: Sequence[Share]) -> list[Answers]:
        """The answers to several askers, in one batch, and once more what cannot be used: attempt by attempt. Each has its calls in its own
        ledger; of equal requests the first one pays.
        """
        requests, stage = [request for share in shares for request in share.requests], shares[0].stage
        asked = pl.DataFrame(
            {
                "share": [number for number, share in enumerate(shares) for _ in share.requests],
                "key": [request_key(spec.identity, request) for request in requests],
                "room": [room_of(request) for request in requests],
                "row_id": [request.row_id for request in requests],
                "prompt": [request.prompt for request in requests],
                "index": [getattr(request, "index", 0) for request in requests],
            },
            schema={
                "share": pl.Int64,
                "key": pl.String,
                "room": pl.Int64,
                "row_id": pl.String,
                "prompt": pl.String,
                "index": pl.Int64,
            },
        )
        # `at` is the place of the first request that asks the same: it stands for all of them, through every attempt.
        current = asked.with_row_index("at").unique(_PAIR, keep="first", maintain_order=True).select("at", *_PAIR)
        asked = asked.join(current, on=_PAIR, how="left", maintain_order="left").drop(_PAIR)
        books, answers = [], pl.DataFrame(schema=_FOUND)
        following: dict[int, AnyRequest] = {}
        tries: Counter[tuple[int, str]] = Counter()
        for attempt in itertools.count():
            wanted = [following.get(at) or requests[at] for at in current["at"]]
            lines, told = self._answered(
                kind, spec, asked, current, wanted, stage, attempt, [share.ledger for share in shares]
            )
            books.append(told)
            # Bad luck at a later attempt leaves the answer that there was.
            better = pl.lit(attempt == 0) | ~pl.col("error").fill_null("").is_in([*RETRIABLE, PROMPT_TOO_LONG])
            answers = pl.concat([answers, lines.filter(better)]).unique("at", keep="last", maintain_order=True)
            following = self._again(lines, dict(zip(current["at"], wanted, strict=True)), tries, attempt)
            if not following:
                break
            keys, rooms = (
                [request_key(spec.identity, r) for r in following.values()],
                [room_of(r) for r in following.values()],
            )
            current = pl.DataFrame({"at": list(following), "key": keys, "room": rooms}, schema=current.schema)
        frame = asked.join(answers, on="at", how="left", maintain_order="left").with_columns(cached=_CACHED)
        told = pl.concat(books)
        return [
            Answers(frame.filter(share=number).select(ANSWERS.names()), told.filter(share=number).drop("share"))
            for number in range(len(shares))
        ]

    def _answered(
        self,
        kind: Kind,
        spec: Answering,
        asked: pl.DataFrame,
        current: pl.DataFrame,
        requests: Sequence[AnyRequest],
        stage: str,
        attempt: int,
        ledgers: Sequence[Ledger],
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The lines of requests, of schema `_FOUND`, and their lines for the books with the `share` that they belong to, which its ledger has then.

        Args:
            kind: What is asked for.
            spec: Of whom.
            asked: A line per request of the batch, equal ones included: share, at, row_id, prompt, index.
            current: A line per request of this attempt: at, key, room.
            requests: These requests.
            stage: For whom.
            attempt: Its number.
            ledgers: One per share.
        """
        first = current.with_row_index("number").unique(_PAIR, keep="first", maintain_order=True)
        stored = self._store.get(kind, spec.identity, first["key"], first["room"], spec.max_model_len)
        missing = first.join(stored, on=_PAIR, how="anti", maintain_order="left")
        self._progress(Progress(stage, stored.height, first.height, stored.height, 0))
        began, seconds = time.monotonic(), 0.0
        found = [stored.with_columns(had=pl.lit(True))]
        lost = stored.clear()
        try:
            if not missing.is_empty():
                wanted = [requests[number] for number in missing["number"]]
                lost, seconds = self._ask_engine(kind, spec, missing["key"].to_list(), wanted, stage, stored.height)
                self._store.compact(SEGMENTS, kind, spec.identity)
        except BaseException:
            seconds = time.monotonic() - began
            raise
        finally:
            # What a stage sees is what the store holds. What was answered goes into the books, whatever became of the rest: it was paid for.
            fresh = self._store.get(kind, spec.identity, missing["key"], missing["room"], spec.max_model_len)
            found += [part.with_columns(had=pl.lit(False)) for part in (fresh, lost.join(fresh, on=_PAIR, how="anti"))]
            lines = current.join(pl.concat(found).drop("prompt"), on=_PAIR, how="inner", maintain_order="left").select(
                list(_FOUND)
            )
            told = _lines(asked, lines, kind, spec, attempt, seconds)
            made = told.select(
                ((pl.col("prompt_tokens") + pl.col("completion_tokens")) * ~pl.col("cached")).fill_null(0)
            ).to_series()
            for number, ledger in enumerate(ledgers):
                mine = told["share"] == number
                weight = float(made.filter(mine).sum()) / float(made.sum()) if made.sum() else 1 / len(ledgers)
                ledger.add(told.filter(mine).drop("share"), seconds * weight)
        return lines, told

    def _again(
        self, lines: pl.DataFrame, requests: Mapping[int, AnyRequest], tries: Counter[tuple[int, str]], attempt: int
    ) -> dict[int, AnyRequest]:
        """What is asked again, by `at`: the next request."""
        allowed = {
            INVALID_JSON: self._retries.invalid,
            INVALID_CHOICE: self._retries.invalid,
            EMPTY: self._retries.empty,
            TRUNCATED: self._retries.truncated,
            REFUSED: self._retries.refused,
        }
        following = {}
        for at, error in lines.filter(pl.col("error").is_in(list(allowed))).select("at", "error").iter_rows():
            request = requests[at]
            if not isinstance(request, (GenerateRequest, CompleteRequest)) or tries[at, error] >= allowed[error]:
                continue
            tries[at, error] += 1
            if error == TRUNCATED:
                sampling = request.sampling.model_copy(update={"max_tokens": 2 * request.sampling.max_tokens})
                following[at] = replace(request, sampling=sampling)
            else:
                sampling = request.sampling.model_copy(
                    update={"temperature": max(request.sampling.temperature, self._retries.temperature)}
                )
                seed = int(digest(f"{request_key('', request)}:{attempt + 1}")[:8], 16)
                following[at] = replace(request, sampling=sampling, seed=seed, attempt=attempt + 1)
        return following

    def _ask_engine(
        self, kind: Kind, spec: Answering, keys: list[str], requests: list[AnyRequest], stage: str, had: int
    ) -> tuple[pl.DataFrame, float]:
        """Ask what is missing and store it. Returns the lines that are not stored (retriable errors), and how long the engine worked."""
        unsaved: list[dict[str, Any]] = []
        lost: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []  # kept back: where every request is, the fault lies elsewhere
        done, tokens, in_a_row = had, 0, 0
        with (
            self._pool.engine(spec) as engine,
            closing(engine.run(requests, self._budget.admission(spec.price))) as responses,
        ):
            began = flushed = reported = time.monotonic()
            try:
                for position, response in responses:
                    request = requests[position]
                    self._budget.settle(
                        spec.price, response.prompt_tokens, response.completion_tokens, most_tokens(request)
                    )
                    response = checked(request, response)
                    retriable = response.error in RETRIABLE
                    kept = lost if retriable else refused if response.error == INVALID_REQUEST else unsaved
                    kept.append(_line(keys[position], requests[position], response))
                    in_a_row = in_a_row + 1 if retriable else 0
                    if in_a_row == HOPELESS:
                        raise EngineUnavailable(
                            f"{stage}: {spec.model}: {HOPELESS} errors in a row, the last: {_error(lost[-1])}"
                        )
                    done, tokens = done + 1, tokens + (response.completion_tokens or response.prompt_tokens)
                    now = time.monotonic()
                    if len(unsaved) >= FLUSH_ANSWERS or now - flushed >= FLUSH_SECONDS:
                        self._flush(kind, spec, unsaved)
                        flushed = now
                    if now - reported >= REPORT_SECONDS:
                        self._progress(Progress(stage, done, had + len(keys), had, tokens, now - began))
                        reported = now
            finally:
                self._flush(kind, spec, unsaved)
                if len(refused) < done - had:
                    self._flush(kind, spec, refused)
                self._budget.settled()
                seconds = time.monotonic() - began
                self._budget.add(seconds / 3600 * spec.price.hour)
        if self._budget.spent:
            raise BudgetSpent(f"{stage}: {self._budget.sentence()}")
        if len(refused) == len(keys) >= ALL_REFUSED:
            raise EngineUnavailable(f"{stage}: {spec.model} takes none of {len(keys)} requests: {_error(refused[-1])}")
        self._flush(kind, spec, refused)
        if len(lost) == len(keys) and all(line["error"] == CONNECTION for line in lost):
            raise EngineUnavailable(f"{stage}: {spec.model} was not reached: {_error(lost[-1])}")
        self._progress(Progress(stage, done, had + len(keys), had, tokens, seconds))
        return pl.DataFrame(lost, schema={**RESPONSES, "room": pl.Int64}), seconds

    def _flush(self, kind: Kind, spec: Answering, lines: list[dict[str, Any]]) -> None:
        self._store.append(
            kind, spec.identity, pl.DataFrame(lines, schema={**RESPONSES, "room": pl.Int64}).drop("room")
        )
        lines.clear()


def _error(line: dict[str, Any]) -> str:
    return f"{line['error']}: {line['cause']}"


def _line(key: str, request: AnyRequest, response: Response) -> dict[str, Any]:
    """A line for the store, and the request's `room`."""
    room = room_of(request)
    return {"key": key, "prompt": request.prompt, "max_tokens": room or None, **asdict(response), "room": room}


def _lines(
    asked: pl.DataFrame, lines: pl.DataFrame, kind: Kind, spec: Answering, attempt: int, seconds: float
) -> pl.DataFrame:
    """The lines of an attempt for the books, of schema `GENERATIONS` with the `share` before, in request order. What is paid by the hour falls on
    calls by their tokens.
    """
    price, made = spec.price, ~pl.col("cached")
    tokens = (pl.col("prompt_tokens") + pl.col("completion_tokens")).fill_null(0)
    share = (tokens * made / (tokens * made).sum()).fill_nan(0.0)
    by_token = (pl.col("prompt_tokens") * price.prompt + pl.col("completion_tokens") * price.completion) / 1e6
    told = asked.join(lines, on="at", how="inner", maintain_order="left").with_columns(
        cached=_CACHED,
        request_key="key", kind=pl.lit(kind), model=pl.lit(spec.identity), attempt=pl.lit(attempt),
    )  # fmt: skip
    cost = pl.when(made).then(by_token.fill_null(0.0) + share * (seconds / 3600 * price.hour)).otherwise(0.0)
    return told.with_columns(cost=cost).select(
        "share", *(pl.col(name).cast(dtype) for name, dtype in GENERATIONS.items())
    )
