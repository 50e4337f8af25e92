"""Model calls that are watched, or only looked up: what a plan is made from."""

import io
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from infinity_assets.inference.client import Answering, Answers, AnyRequest, Inference
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.engines.engine import Admit, always
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import (
    CompleteRequest,
    EmbedRequest,
    GenerateRequest,
    Kind,
    Request,
    Response,
    RewardRequest,
    ScoreRequest,
    failed,
    request_key,
    room_of,
)
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import EmbedderSpec, Retries

if TYPE_CHECKING:
    import numpy as np

NOT_ASKED = "not_asked"
"""The error of a request that would have to be asked."""

_TEXTS = 256
"""Texts that are remembered of a batch."""

_WIDTH = 384
"""Of the vectors that stand for those of an embedder which has not been opened: any width does."""


@dataclass(frozen=True)
class Batch:
    """What one call of an inference came to."""

    stage: str
    spec: Answering
    kind: Kind
    texts: tuple[str, ...]
    """What some of the requests read, from all over the batch."""
    calls: pl.DataFrame
    """One line per call, in the order of the requests, those that are asked again behind them: row_id, prompt, key, attempt, prompt_tokens,
    completion_tokens, error (the class), cached, size (of the request's text, in bytes), room (tokens that the answer may have)."""
    seconds: float
    """How long it took, without opening the engine."""
    bytes: int
    """What the answers that were asked for take in the response store, about."""


@dataclass(frozen=True)
class Embedded:
    """Texts that were to be embedded."""

    stage: str
    spec: EmbedderSpec
    texts: int
    """Distinct ones."""
    missing: tuple[str, ...]
    """Those that were not in the store."""
    seconds: float


class Observed(Inference):
    """Model calls, remembered batch by batch."""

    def __init__(self, store: ResponseStore, pool: "EnginePool | TimedPool", retries: Retries, progress: Any = None):
        self._opened = pool if isinstance(pool, TimedPool) else TimedPool(pool)
        super().__init__(store, self._opened, progress, retries=retries)  # pyright: ignore[reportArgumentType]
        self._responses = store
        self.batches: list[Batch] = []
        self.embedded: list[Embedded] = []

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        with self._clock() as clock:
            answers = super()._ask(kind, spec, requests, stage)
        return self._remember(kind, spec, requests, stage, answers, clock)

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """As always."""
        missing, distinct, _ = self._missing(spec, texts)
        with self._clock() as clock:
            vectors = super().embed(spec, texts, stage)
        self.embedded.append(Embedded(stage, spec, distinct, missing, clock[0]))
        return vectors

    def _missing(self, spec: EmbedderSpec, texts: Sequence[str]) -> tuple[tuple[str, ...], int, pl.DataFrame]:
        by_key = {request_key(spec.identity, EmbedRequest(text)): text for text in texts}
        found = self._responses.get("embed", spec.identity, list(by_key))
        had = set(found["key"])
        return tuple(text for key, text in by_key.items() if key not in had), len(by_key), found

    @contextmanager
    def _clock(self) -> Iterator[list[float]]:
        """Seconds of the block, without those in which an engine was opened."""
        clock, before, began = [0.0], self._opened.opening, time.monotonic()
        yield clock
        clock[0] = time.monotonic() - began - (self._opened.opening - before)

    def _remember(
        self,
        kind: Kind,
        spec: Answering,
        requests: Sequence[AnyRequest],
        stage: str,
        answers: Answers,
        clock: list[float],
    ) -> Answers:
        sizes = pl.DataFrame(
            {
                "row_id": [request.row_id for request in requests],
                "prompt": [request.prompt for request in requests],
                "size": [_size(request) for request in requests],
                "room": [room_of(request) for request in requests],
            },
            schema={"row_id": pl.String, "prompt": pl.String, "size": pl.Int64, "room": pl.Int64},
        ).unique(["row_id", "prompt"], keep="first", maintain_order=True)
        calls = answers.generations.select(
            "row_id", "prompt", pl.col("request_key").alias("key"), "attempt", "prompt_tokens", "completion_tokens",
            "error", "cached",
        ).join(sizes, on=["row_id", "prompt"], how="left", maintain_order="left")  # fmt: skip
        texts = tuple(_text(request) for request in requests[:: max(1, len(requests) // _TEXTS)])
        self.batches.append(Batch(stage, spec, kind, texts, calls, clock[0], _stored_size(answers.frame)))
        return answers


class LookingUp(Observed):
    """Answers come from the store alone; a request that it does not hold gets the error `not_asked`, and a text a vector of chance. Nothing is
    written.
    """

    def __init__(self, store: ResponseStore, retries: Retries):
        super().__init__(Overlay(store), EnginePool(Path(), lambda spec, models: Unasked()), retries)

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """One that knows no word: what is embedded in bulk costs no call, and a plan does without."""
        yield Blind()

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """The stored vectors, and vectors of chance, which are near to nothing, for the others."""
        import numpy as np

        missing, distinct, found = self._missing(spec, texts)
        self.embedded.append(Embedded(stage, spec, distinct, missing, 0.0))
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        width = found["vector"].to_numpy().shape[1] if found.height else _WIDTH
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if found.height:
            keys = pl.Series("key", [request_key(spec.identity, EmbedRequest(text)) for text in texts])
            places = pl.DataFrame({"key": keys}).with_row_index("place").join(found.with_row_index("line"), on="key")
            vectors[places["place"].to_numpy()] = found["vector"].to_numpy()[places["line"].to_numpy()]
        return vectors


class Blind:
    """An embedder that knows no word, so that nobody takes what it gives for a vector."""

    width = 1

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """A number per text."""
        import numpy as np

        return np.ones((len(texts), 1), np.float32)

    def read(self, texts: Sequence[str]) -> Reading:
        """All of it is unknown."""
        import numpy as np

        return Reading(np.zeros(len(texts), bool), np.ones(len(texts), np.float32))


class Unasked:
    """An engine that answers nothing."""

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Every request fails at once."""
        for position in range(len(requests)):
            yield position, failed(NOT_ASKED, "the response store does not hold it")

    def close(self) -> None:
        """Nothing to give back."""


class Overlay(ResponseStore):
    """A store that is read only: what is appended stays in memory."""

    def __init__(self, below: ResponseStore):
        super().__init__(below.root)
        self._below = below
        self._mine: dict[tuple[Kind, str], list[pl.DataFrame]] = {}

    def get(
        self,
        kind: Kind,
        model: str,
        keys: Sequence[str] | pl.Series,
        rooms: Sequence[int] | pl.Series | None = None,
        window: int | None = None,
    ) -> pl.DataFrame:
        """The stored lines, and those in memory that were appended for a very key and room."""
        found = self._below.get(kind, model, keys, rooms, window)
        mine = self._mine.get((kind, model))
        if not mine:
            return found
        pair = {"key": keys} if rooms is None else {"key": keys, "room": rooms}
        wanted = pl.DataFrame(
            pair, schema={"key": pl.String, "room": pl.Int64} if "room" in pair else {"key": pl.String}
        )
        added = (
            pl.concat(mine).with_columns(room=pl.col("max_tokens").fill_null(0)).join(wanted, on=list(pair), how="semi")
        )
        added = added.unique(list(pair), keep="first").join(found, on=list(pair), how="anti")
        return pl.concat([found, added.select(found.columns)])

    def append(self, kind: Kind, model: str, lines: pl.DataFrame) -> None:
        """Remember them."""
        if lines.height:
            self._mine.setdefault((kind, model), []).append(lines)

    def compact(self, above: int = 1, kind: Kind | None = None, model: str | None = None) -> None:
        """Nothing: it is not ours."""


class TimedPool:
    """A pool of engines that counts the seconds in which it opened one."""

    def __init__(self, pool: EnginePool):
        self._pool = pool
        self.opening = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    @contextmanager
    def engine(self, spec: Answering) -> Iterator[Any]:
        """As the pool's."""
        with self._timed(self._pool.engine(spec)) as engine:
            yield engine

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """As the pool's."""
        with self._timed(self._pool.embedder(spec)) as embedder:
            yield embedder

    @contextmanager
    def _timed(self, opening: Any) -> Iterator[Any]:
        began = time.monotonic()
        with opening as opened:
            self.opening += time.monotonic() - began
            yield opened


def _text(request: AnyRequest) -> str:
    """What a model reads of a request, without what its chat template adds."""
    match request:
        case GenerateRequest() | RewardRequest():
            return "".join(turn["content"] for turn in request.messages)
        case CompleteRequest():
            return request.text
        case ScoreRequest():
            return "".join(turn["content"] for turn in request.context) + request.answer


def _stored_size(answers: pl.DataFrame) -> int:
    made = answers.filter(~pl.col("cached") & (pl.col("error").fill_null("") != NOT_ASKED)).select(
        pl.exclude("cached", "row_id", "prompt", "index")
    )
    buffer = io.BytesIO()
    if made.height:
        made.write_parquet(buffer, compression="zstd")
    return buffer.tell()


def _size(request: AnyRequest) -> int:
    return len(_text(request).encode())
