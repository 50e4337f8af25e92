"""Model clients that record their calls for a plan, with and without asking an engine."""

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
from infinity_assets.inference.engines.engine import Admit, admit_all
from infinity_assets.inference.engines.pool import EnginePool
from infinity_assets.inference.requests import (
    EmbedRequest,
    Kind,
    Request,
    Response,
    make_failure,
    request_key,
    room_of,
    text_of,
)
from infinity_assets.inference.responses.store import ResponseStore
from infinity_assets.settings.models import EmbedderSpec, Retries

if TYPE_CHECKING:
    import numpy as np

NOT_ASKED = "not_asked"
"""The error of a request that the response store does not answer."""

_TEXTS = 256
"""Texts that are kept of a batch."""

_WIDTH = 384
"""Width of the random vectors that stand in for an embedder that has not been opened; any width does."""


@dataclass(frozen=True)
class Batch:
    """The calls that one stage of an asset made in one go."""

    stage: str
    spec: Answering
    kind: Kind
    texts: tuple[str, ...]
    """Texts of a sample of the requests, spread evenly over the batch."""
    calls: pl.DataFrame
    """One line per call, in the order of the requests, with retries at the end: row_id, prompt, key, attempt,
    prompt_tokens, completion_tokens, error (the class), cached, size (of the request's text, in bytes), room (tokens
    that the answer may have)."""
    seconds: float
    """Duration of the batch, without opening the engine."""
    bytes: int
    """Approximate size of the new answers in the response store."""


@dataclass(frozen=True)
class EmbeddingBatch:
    """The texts that one stage of an asset embedded in one go."""

    stage: str
    spec: EmbedderSpec
    texts: int
    """Number of distinct texts."""
    missing: tuple[str, ...]
    """Texts that were not in the response store."""
    seconds: float


class ObservedInference(Inference):
    """A model client that records its calls batch by batch."""

    def __init__(self, store: ResponseStore, pool: "EnginePool | TimedPool", retries: Retries, progress: Any = None):
        self._opened = pool if isinstance(pool, TimedPool) else TimedPool(pool)
        super().__init__(store, self._opened, progress, retries=retries)  # pyright: ignore[reportArgumentType]
        self._responses = store
        self.batches: list[Batch] = []
        self.embedded: list[EmbeddingBatch] = []

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        with self._clock() as clock:
            answers = super()._ask(kind, spec, requests, stage)
        self._record(kind, spec, requests, stage, answers, clock)
        return answers

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Embed texts like `Inference.embed`, and record the batch."""
        missing, distinct, _ = self._missing(spec, texts)
        with self._clock() as clock:
            vectors = super().embed(spec, texts, stage)
        self.embedded.append(EmbeddingBatch(stage, spec, distinct, missing, clock[0]))
        return vectors

    def _missing(self, spec: EmbedderSpec, texts: Sequence[str]) -> tuple[tuple[str, ...], int, pl.DataFrame]:
        by_key = {request_key(spec.weights_id, EmbedRequest(text)): text for text in texts}
        stored = self._responses.get("embed", spec.weights_id, list(by_key))
        keys = set(stored["key"])
        return tuple(text for key, text in by_key.items() if key not in keys), len(by_key), stored

    @contextmanager
    def _clock(self) -> Iterator[list[float]]:
        """Measure the seconds of a block, without those that opened an engine."""
        clock, before, began = [0.0], self._opened.opening, time.monotonic()
        yield clock
        clock[0] = time.monotonic() - began - (self._opened.opening - before)

    def _record(
        self,
        kind: Kind,
        spec: Answering,
        requests: Sequence[AnyRequest],
        stage: str,
        answers: Answers,
        clock: list[float],
    ) -> None:
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
        texts = tuple(text_of(request) for request in requests[:: max(1, len(requests) // _TEXTS)])
        self.batches.append(Batch(stage, spec, kind, texts, calls, clock[0], _stored_size(answers.frame)))


class StoredInference(ObservedInference):
    """A model client that answers from the response store alone and writes nothing.

    A request without a stored response gets the error `not_asked`, a text without a stored vector gets a random one.
    """

    def __init__(self, store: ResponseStore, retries: Retries, folder: Path = Path()):
        super().__init__(OverlayStore(store), EnginePool(folder, lambda spec, models: SilentEngine()), retries)

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """Open an embedder to which every word is unknown: bulk embedding is no model call, so a plan leaves it out."""
        yield BlindEmbedder()

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Return the stored vectors, and for the other texts random ones, which are close to nothing."""
        import numpy as np

        missing, distinct, stored = self._missing(spec, texts)
        self.embedded.append(EmbeddingBatch(stage, spec, distinct, missing, 0.0))
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        width = stored["vector"].to_numpy().shape[1] if stored.height else _WIDTH
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if stored.height:
            keys = pl.Series("key", [request_key(spec.weights_id, EmbedRequest(text)) for text in texts])
            places = pl.DataFrame({"key": keys}).with_row_index("place").join(stored.with_row_index("line"), on="key")
            vectors[places["place"].to_numpy()] = stored["vector"].to_numpy()[places["line"].to_numpy()]
        return vectors


class BlindEmbedder:
    """An embedder to which every word is unknown, so that its vectors are never used."""

    width = 1

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Return a vector of one number per text."""
        import numpy as np

        return np.ones((len(texts), 1), np.float32)

    def read(self, texts: Sequence[str]) -> Reading:
        """Report every text as uncut and unknown."""
        import numpy as np

        return Reading(np.zeros(len(texts), bool), np.ones(len(texts), np.float32))


class SilentEngine:
    """An engine on which every request fails."""

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Fail every request at once with `not_asked`."""
        for position in range(len(requests)):
            yield position, make_failure(NOT_ASKED, "the response store does not hold it")

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class OverlayStore(ResponseStore):
    """A response store that reads from another one and keeps appended lines in memory."""

    def __init__(self, below: ResponseStore):
        super().__init__(below.root)
        self._below = below
        self._appended: dict[tuple[Kind, str], list[pl.DataFrame]] = {}

    def get(
        self,
        kind: Kind,
        model: str,
        keys: Sequence[str] | pl.Series,
        rooms: Sequence[int] | pl.Series | None = None,
        window: int | None = None,
    ) -> pl.DataFrame:
        """Return the stored lines, and the appended lines with exactly these keys and rooms."""
        stored = self._below.get(kind, model, keys, rooms, window)
        appended = self._appended.get((kind, model))
        if not appended:
            return stored
        pair = {"key": keys} if rooms is None else {"key": keys, "room": rooms}
        wanted = pl.DataFrame(
            pair, schema={"key": pl.String, "room": pl.Int64} if "room" in pair else {"key": pl.String}
        )
        added = (
            pl.concat(appended)
            .with_columns(room=pl.col("max_tokens").fill_null(0))
            .join(wanted, on=list(pair), how="semi")
        )
        added = added.unique(list(pair), keep="first").join(stored, on=list(pair), how="anti")
        return pl.concat([stored, added.select(stored.columns)])

    def append(self, kind: Kind, model: str, lines: pl.DataFrame) -> None:
        """Keep lines in memory."""
        if lines.height:
            self._appended.setdefault((kind, model), []).append(lines)

    def compact(self, above: int = 1, kind: Kind | None = None, model: str | None = None) -> None:
        """Do nothing: the store below is read-only."""


class TimedPool:
    """A pool of engines that counts the seconds it takes to open them."""

    def __init__(self, pool: EnginePool):
        self._pool = pool
        self.opening = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    @contextmanager
    def engine(self, spec: Answering) -> Iterator[Any]:
        """Open an engine like `EnginePool.engine`."""
        with self._timed(self._pool.engine(spec)) as engine:
            yield engine

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """Open an embedder like `EnginePool.embedder`."""
        with self._timed(self._pool.embedder(spec)) as embedder:
            yield embedder

    @contextmanager
    def _timed(self, opening: Any) -> Iterator[Any]:
        began = time.monotonic()
        with opening as opened:
            self.opening += time.monotonic() - began
            yield opened


def _stored_size(answers: pl.DataFrame) -> int:
    new = answers.filter(~pl.col("cached") & (pl.col("error").fill_null("") != NOT_ASKED)).select(
        pl.exclude("cached", "row_id", "prompt", "index")
    )
    buffer = io.BytesIO()
    if new.height:
        new.write_parquet(buffer, compression="zstd")
    return buffer.tell()


def _size(request: AnyRequest) -> int:
    return len(text_of(request).encode())
