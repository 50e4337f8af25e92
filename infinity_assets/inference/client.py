"""The client through which stages call models. Stored answers are returned without loading a model."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from infinity_assets.inference.budget import Budget, BudgetSpent
from infinity_assets.inference.checking import check_response
from infinity_assets.inference.engines.embedder import Embedder
from infinity_assets.inference.engines.engine import EngineMisconfigured, EngineUnavailable
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import (
    CONNECTION,
    EMPTY,
    INVALID_CHOICE,
    INVALID_JSON,
    INVALID_REQUEST,
    NOT_FINITE,
    PROMPT_TOO_LONG,
    REFUSED,
    RETRIABLE,
    TRUNCATED,
    CompleteRequest,
    EmbedRequest,
    GenerateRequest,
    Kind,
    Request,
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

AnyRequest: TypeAlias = Request | RewardRequest
Answering: TypeAlias = ModelSpec | RewardSpec

FLUSH_SECONDS = 5.0
FLUSH_ANSWERS = 256
REPORT_SECONDS = 2.0
SEGMENTS = 64
"""Maximum number of stored segments per model. If there are more, they are merged."""
HOPELESS = 16
"""Number of consecutive retriable errors after which the stage fails instead of producing rows of errors."""
UNUSABLE = 64
"""Number of answers at the beginning of a batch of which one must be usable; otherwise the stage fails."""
_USELESS = frozenset({EMPTY, INVALID_JSON, INVALID_CHOICE, TRUNCATED, NOT_FINITE, REFUSED})
ALL_REFUSED = 4
"""If a batch of at least this size has only invalid requests, its stage fails: a setting or the server is wrong."""
EMBED_CHUNK = 1024
"""Number of texts embedded between two writes to the store."""

_KEY_AND_ROOM = ["key", "room"]
"""Columns that identify a request: its key, and `room`, the maximum number of tokens of the answer."""

ANSWERS = pl.Schema({"row_id": pl.String, "prompt": pl.String, "index": pl.Int64, **RESPONSES, "cached": pl.Boolean})
"""Schema of answers, with one row per request, in the order of the requests. `index` is the number of the draw.
`cached` is true if the response cost nothing, because it came from the store or from an equal request of the batch.
"""


class Progress(NamedTuple):
    """Progress of a batch, counted in distinct requests."""

    stage: str
    done: int
    total: int
    cached: int
    """Number of requests, included in `done`, that the store answered."""
    tokens: int
    """Tokens generated since the batch began. Scores and rewards generate none: their prompt tokens count."""
    seconds: float = 0.0
    """Seconds since the engine began to work on the batch."""


class Attempt(NamedTuple):
    """One of the attempts to answer the requests of a batch."""

    kind: Kind
    spec: Answering
    stage: str
    number: int
    """Number of earlier attempts."""


class Share(NamedTuple):
    """The requests of one caller in a batch that several callers share."""

    requests: "Sequence[AnyRequest]"
    stage: str
    ledger: Ledger


_ASKED = pl.Schema(
    {**dict.fromkeys(["share", "room", "index"], pl.Int64), **dict.fromkeys(["key", "row_id", "prompt"], pl.String)}
)
"""Schema of the requests of a batch. `share` is the position of their `Share`, and `index` the number of the draw."""
_STORED = pl.Schema(
    {"at": pl.UInt32, **{name: dtype for name, dtype in RESPONSES.items() if name != "prompt"}, "had": pl.Boolean}
)
"""Schema of stored lines. `at` is the position of their request. `had` is true if they were stored before the call."""
_LINE = {**RESPONSES, "room": pl.Int64}
_NEW_TOKENS = (pl.col("prompt_tokens") + pl.col("completion_tokens")).fill_null(0) * ~pl.col("cached")
_CACHED = pl.col("had") | ~pl.col("at").is_first_distinct()


@dataclass(frozen=True)
class Answers:
    """The answers to a batch of requests, and the model calls for the ledger table `generations`."""

    frame: pl.DataFrame
    """Answers of schema `ANSWERS`. A failed request has an `error` and a `cause`. It has a text only if the model wrote
    an unusable one."""
    generations: pl.DataFrame
    """Calls of schema `rows.schema.GENERATIONS`."""


class Inference:
    """A client that calls models through the response store.

    It looks up every request in the store, opens an engine only for missing answers, and sends equal requests once.
    Answers are stored every few seconds, so a killed stage loses only the latest ones. Results are joined by key, never
    by position. Unusable answers are retried: each attempt is a separate request, and is stored like any other.

    Without a budget, spending has no cap.
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
        self._store = store
        self._pool = pool
        self._progress = progress or (lambda _: None)
        self._ledger = ledger or Ledger()
        self._budget = budget or Budget()
        self._retries = retries

    def generate(self, spec: ModelSpec, requests: Sequence[GenerateRequest], stage: str) -> Answers:
        """Generate answers. JSON that violates its schema, or an unknown choice, gets an error and keeps its text.

        Raises:
            ModelMissing: The weights have not been fetched.
            EngineUnavailable: No request can be answered at present.
            BudgetSpent: The next call might cost more than the remaining budget.
        """
        return self._ask("generate", spec, requests, stage)

    def complete(self, spec: ModelSpec, requests: Sequence[CompleteRequest], stage: str) -> Answers:
        """Generate continuations of texts, without a chat template. Raises the errors of `generate`."""
        return self._ask("complete", spec, requests, stage)

    def score(self, spec: ModelSpec, requests: Sequence[ScoreRequest], stage: str) -> Answers:
        """Return the log-probability of each answer, in nats, as `sum_logprob`. Raises the errors of `generate`."""
        return self._ask("score", spec, requests, stage)

    def reward(self, spec: RewardSpec, requests: Sequence[RewardRequest], stage: str) -> Answers:
        """Return a finite `reward` for each conversation, or null with an error. Raises the errors of `generate`."""
        return self._ask("reward", spec, requests, stage)

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> np.ndarray:
        """Return a vector of unit length per text: float32 of shape (texts, width), or (0, 0) without texts."""
        return self.embed_all(spec, [texts], stage)[0]

    def embed_all(self, spec: EmbedderSpec, parts: Sequence[Sequence[str]], stage: str) -> list[np.ndarray]:
        """Embed the texts of several callers together, and return one array of vectors per caller."""
        texts = [text for part in parts for text in part]
        keys = [request_key(spec.weights_id, EmbedRequest(text)) for text in texts]
        stored = self._store.get("embed", spec.weights_id, keys)
        cached = set(stored["key"])
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in cached}
        frames = [stored] if stored.height else []
        if missing:
            frames += self._embed_missing(spec, missing, stored, stage)
        vectors = np.empty((0, 0), dtype=np.float32)
        if keys:
            rows = pl.DataFrame({"key": keys}).join(pl.concat(frames), on="key", how="left", maintain_order="left")
            vectors = rows["vector"].to_numpy()
        return np.split(vectors, np.cumsum([len(part) for part in parts])[:-1])

    def _embed_missing(
        self, spec: EmbedderSpec, missing: Mapping[str, str], stored: pl.DataFrame, stage: str
    ) -> list[pl.DataFrame]:
        """Embed texts without a stored vector, given by their keys, and return frames of key and vector."""
        frames = []
        done = stored.height
        # After sorting by length, the texts of a chunk are about equally long and need little padding.
        order = sorted(missing, key=lambda key: (len(missing[key]), key))
        with self._pool.embedder(spec) as embedder:
            for start in range(0, len(order), EMBED_CHUNK):
                chunk = order[start : start + EMBED_CHUNK]
                vectors = np.asarray(embedder.encode([missing[key] for key in chunk]), dtype=np.float32)
                frames.append(pl.DataFrame({"key": chunk, "vector": vectors}))
                self._store.append("embed", spec.weights_id, frames[-1])
                done += len(chunk)
                self._progress(Progress(stage, done, stored.height + len(order), stored.height, 0))
        return frames

    def embedder(self, spec: EmbedderSpec) -> AbstractContextManager[Embedder]:
        """Open an embedder for the duration of a `with` block, bypassing the store.

        This is for callers that keep millions of vectors in their rows. The store would hold these a second time.
        """
        return self._pool.embedder(spec)

    @property
    def weights_folder(self) -> Path:
        """Folder with the weights of all models."""
        return self._pool.folder

    def release(self) -> None:
        """Close all engines and embedders of the pool."""
        self._pool.release()

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        return self.ask_all(kind, spec, [Share(requests, stage, self._ledger)])[0]

    def ask_all(self, kind: Kind, spec: Answering, shares: Sequence[Share]) -> list[Answers]:
        """Answer the requests of several callers in one batch, and retry unusable answers, like `generate`.

        Each call is recorded in the ledger of its caller, and its cost only for the first of several equal requests.
        """
        requests = [request for share in shares for request in share.requests]
        columns = {
            "share": [number for number, share in enumerate(shares) for _ in share.requests],
            "key": [request_key(spec.weights_id, request) for request in requests],
            "room": [room_of(request) for request in requests],
            "row_id": [request.row_id for request in requests],
            "prompt": [request.prompt for request in requests],
            "index": [getattr(request, "index", 0) for request in requests],
        }
        asked = pl.DataFrame(columns, schema=_ASKED)
        # `at` is the position of the first of several equal requests. It represents all of them in every attempt.
        current = (
            asked.with_row_index("at")
            .unique(_KEY_AND_ROOM, keep="first", maintain_order=True)
            .select("at", *_KEY_AND_ROOM)
        )
        asked = asked.join(current, on=_KEY_AND_ROOM, how="left", maintain_order="left").drop(_KEY_AND_ROOM)
        parts = []
        answers = pl.DataFrame(schema=_STORED)
        following: dict[int, AnyRequest] = {}
        tries: Counter[tuple[int, str]] = Counter()
        for number in itertools.count():
            attempt = Attempt(kind, spec, shares[0].stage, number)
            pending = [following.get(at) or requests[at] for at in current["at"]]
            lines, generations = self._run_attempt(attempt, asked, current, pending, [share.ledger for share in shares])
            parts.append(generations)
            # A later attempt with a transient error or `prompt_too_long` does not replace the earlier answer.
            better = pl.lit(number == 0) | ~pl.col("error").fill_null("").is_in([*RETRIABLE, PROMPT_TOO_LONG])
            answers = pl.concat([answers, lines.filter(better)]).unique("at", keep="last", maintain_order=True)
            following = self._plan_retries(lines, dict(zip(current["at"], pending, strict=True)), tries, number)
            if not following:
                break
            keys = [request_key(spec.weights_id, request) for request in following.values()]
            rooms = [room_of(request) for request in following.values()]
            current = pl.DataFrame({"at": list(following), "key": keys, "room": rooms}, schema=current.schema)
        frame = asked.join(answers, on="at", how="left", maintain_order="left").with_columns(cached=_CACHED)
        generations = pl.concat(parts)
        return [
            Answers(frame.filter(share=number).select(ANSWERS.names()), generations.filter(share=number).drop("share"))
            for number in range(len(shares))
        ]

    def _run_attempt(
        self,
        attempt: Attempt,
        asked: pl.DataFrame,
        current: pl.DataFrame,
        requests: Sequence[AnyRequest],
        ledgers: Sequence[Ledger],
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Answer the requests of one attempt and record its calls in the ledgers, one per `Share`.

        Args:
            asked: All requests of the batch, with schema `_ASKED`, but `at` instead of key and room.
            current: One row per request of this attempt: at, key, room.
            requests: The requests of this attempt, in the order of `current`.

        Returns:
            Stored lines of schema `_STORED`, and calls of schema `GENERATIONS` with an additional column `share`.
        """
        kind, spec, stage, _ = attempt
        first = current.with_row_index("number").unique(_KEY_AND_ROOM, keep="first", maintain_order=True)
        stored = self._store.get(kind, spec.weights_id, first["key"], first["room"], spec.max_model_len)
        missing = first.join(stored, on=_KEY_AND_ROOM, how="anti", maintain_order="left")
        self._progress(Progress(stage, stored.height, first.height, stored.height, 0))
        began = time.monotonic()
        seconds = 0.0
        parts = [stored.with_columns(had=pl.lit(True))]
        unstored = stored.clear()
        try:
            if not missing.is_empty():
                pending = [requests[number] for number in missing["number"]]
                unstored, seconds = self._ask_engine(attempt, missing, pending, stored.height)
                self._store.compact(SEGMENTS, kind, spec.weights_id)
        except BaseException:
            seconds = time.monotonic() - began
            raise
        finally:
            # Stages get answers as they are stored. Answered calls are recorded even after an error: they cost money.
            fresh = self._store.get(kind, spec.weights_id, missing["key"], missing["room"], spec.max_model_len)
            unstored = unstored.join(fresh, on=_KEY_AND_ROOM, how="anti")
            parts += [part.with_columns(had=pl.lit(False)) for part in (fresh, unstored)]
            lines = current.join(pl.concat(parts).drop("prompt"), on=_KEY_AND_ROOM, how="inner", maintain_order="left")
            lines = lines.select(list(_STORED))
            chosen = {
                at for at, request in zip(current["at"], requests, strict=True) if getattr(request, "choices", None)
            }
            words_only = lines.filter(
                pl.col("at").is_in(chosen), pl.col("error").is_null(), pl.col("choice_logprobs").is_null()
            )["at"]
            generations = _ledger_rows(asked, lines, attempt, seconds)
            tokens = generations.select(new_tokens=_NEW_TOKENS)["new_tokens"]
            for number, ledger in enumerate(ledgers):
                mine = generations["share"] == number
                weight = float(tokens.filter(mine).sum()) / float(tokens.sum()) if tokens.sum() else 1 / len(ledgers)
                ledger.add(generations.filter(mine).drop("share"), seconds * weight)
                ledger.words_only += asked.filter(
                    pl.col("share") == number, pl.col("at").is_in(words_only.implode())
                ).height
        return lines, generations

    def _plan_retries(
        self, lines: pl.DataFrame, requests: Mapping[int, AnyRequest], tries: Counter[tuple[int, str]], attempt: int
    ) -> dict[int, AnyRequest]:
        """Return the requests of the next attempt, by their position `at`."""
        allowed = {
            INVALID_JSON: self._retries.invalid,
            INVALID_CHOICE: self._retries.invalid,
            EMPTY: self._retries.empty,
            TRUNCATED: self._retries.truncated,
            REFUSED: self._retries.refused,
        }
        following: dict[int, AnyRequest] = {}
        for at, error in lines.filter(pl.col("error").is_in(list(allowed))).select("at", "error").iter_rows():
            request = requests[at]
            if not isinstance(request, (GenerateRequest, CompleteRequest)) or tries[at, error] >= allowed[error]:
                continue
            tries[at, error] += 1
            if error == TRUNCATED:
                sampling = request.sampling.model_copy(update={"max_tokens": 2 * request.sampling.max_tokens})
                following[at] = replace(request, sampling=sampling)
            else:
                temperature = max(request.sampling.temperature, self._retries.temperature)
                sampling = request.sampling.model_copy(update={"temperature": temperature})
                seed = int(digest(f"{request_key('', request)}:{attempt + 1}")[:8], 16)
                following[at] = replace(request, sampling=sampling, seed=seed, attempt=attempt + 1)
        return following

    def _ask_engine(
        self, attempt: Attempt, missing: pl.DataFrame, requests: list[AnyRequest], cached: int
    ) -> tuple[pl.DataFrame, float]:
        """Send requests to an engine and store its answers. `missing` has their keys, and `cached` others are stored.

        Returns:
            The lines with retriable errors, which are not stored, and the seconds that the engine worked.
        """
        kind, spec, stage, _ = attempt
        keys = missing["key"].to_list()
        unsaved: list[dict[str, Any]] = []
        unstored: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []  # held back: if all requests are invalid, the fault lies elsewhere
        done = cached
        tokens = 0
        in_a_row = useless = 0
        with (
            self._pool.engine(spec) as engine,
            closing(engine.run(requests, self._budget.admission(spec.price))) as responses,
        ):
            began = flushed = reported = time.monotonic()
            try:
                for position, response in responses:
                    request = requests[position]
                    used = response.prompt_tokens, response.completion_tokens
                    self._budget.settle(spec.price, *used, most_tokens(request))
                    response = check_response(request, response)
                    retriable = response.error in RETRIABLE
                    kept = unstored if retriable else refused if response.error == INVALID_REQUEST else unsaved
                    room = room_of(request)
                    line = {"key": keys[position], "prompt": request.prompt, "max_tokens": room or None, "room": room}
                    kept.append({**line, **asdict(response)})
                    in_a_row = in_a_row + 1 if retriable else 0
                    if in_a_row == HOPELESS:
                        raise EngineUnavailable(
                            f"{stage}: {spec.model}: {HOPELESS} errors in a row, the last: "
                            f"{_describe_error(unstored[-1])}"
                        )
                    useless += response.error in _USELESS
                    if attempt.number == 0 and useless == UNUSABLE == done - cached + 1:
                        raise EngineMisconfigured(
                            f"{stage}: none of the first {UNUSABLE} answers of {spec.model} can be used, the last: "
                            f"{response.error}: {response.cause}"
                        )
                    done += 1
                    tokens += response.completion_tokens or response.prompt_tokens
                    now = time.monotonic()
                    if len(unsaved) >= FLUSH_ANSWERS or now - flushed >= FLUSH_SECONDS:
                        self._flush(kind, spec, unsaved)
                        flushed = now
                    if now - reported >= REPORT_SECONDS:
                        self._progress(Progress(stage, done, cached + len(keys), cached, tokens, now - began))
                        reported = now
            finally:
                self._flush(kind, spec, unsaved)
                if len(refused) < done - cached:
                    self._flush(kind, spec, refused)
                self._budget.release()
                seconds = time.monotonic() - began
                self._budget.add(seconds / 3600 * spec.price.hour)
        if self._budget.spent:
            raise BudgetSpent(f"{stage}: {self._budget.describe()}")
        if len(refused) == len(keys) >= ALL_REFUSED:
            raise EngineMisconfigured(
                f"{stage}: {spec.model} rejects all {len(keys)} requests: {_describe_error(refused[-1])}"
            )
        self._flush(kind, spec, refused)
        if len(unstored) == len(keys) and all(line["error"] == CONNECTION for line in unstored):
            raise EngineUnavailable(f"{stage}: {spec.model} cannot be reached: {_describe_error(unstored[-1])}")
        self._progress(Progress(stage, done, cached + len(keys), cached, tokens, seconds))
        return pl.DataFrame(unstored, schema=_LINE), seconds

    def _flush(self, kind: Kind, spec: Answering, lines: list[dict[str, Any]]) -> None:
        self._store.append(kind, spec.weights_id, pl.DataFrame(lines, schema=_LINE).drop("room"))
        lines.clear()


def _describe_error(line: dict[str, Any]) -> str:
    return f"{line['error']}: {line['cause']}"


def _ledger_rows(asked: pl.DataFrame, lines: pl.DataFrame, attempt: Attempt, seconds: float) -> pl.DataFrame:
    """Return the calls of an attempt in the order of their requests: the column `share`, then those of `GENERATIONS`.

    Hourly costs are distributed over the calls in proportion to their tokens.
    """
    kind, spec, _, number = attempt
    price = spec.price
    share = (_NEW_TOKENS / _NEW_TOKENS.sum()).fill_nan(0.0)
    by_token = (pl.col("prompt_tokens") * price.prompt + pl.col("completion_tokens") * price.completion) / 1e6
    generations = asked.join(lines, on="at", how="inner", maintain_order="left").with_columns(
        cached=_CACHED,
        request_key="key", kind=pl.lit(kind), model=pl.lit(spec.weights_id), attempt=pl.lit(number),
    )  # fmt: skip
    cost = (
        pl.when(~pl.col("cached")).then(by_token.fill_null(0.0) + share * (seconds / 3600 * price.hour)).otherwise(0.0)
    )
    return generations.with_columns(cost=cost).select(
        "share", *(pl.col(name).cast(dtype) for name, dtype in GENERATIONS.items())
    )
