"""Model clients that record their calls for a plan: one calls engines, the other uses stored responses only."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from infinity_assets.inference.client import Answering, Answers, AnyRequest, Inference, Share
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import (
    EmbedRequest,
    Kind,
    request_key,
    room_of,
    text_of,
)
from infinity_assets.inference.responses.store import RESPONSES
from infinity_assets.settings.models import EmbedderSpec

if TYPE_CHECKING:
    import numpy as np

NOT_ASKED = "not_asked"
"""The error of a request that has no stored response."""

_WIDTH = 384
"""Width of random vectors if no vector is stored, so that the width of the embedder is unknown. Any width works."""

CALLS = pl.Schema(
    {
        "key": pl.String, "row_id": pl.String, "kind": pl.String, "model": pl.String, "prompt": pl.String,
        "stage": pl.String, "attempt": pl.Int64, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
        "error": pl.String, "cached": pl.Boolean, "size": pl.Int64, "room": pl.Int64, "took": pl.Float64,
    }
)  # fmt: skip
"""Schema of recorded calls, one line per call. `size` is the length of the request's text in bytes; `room` is the
maximum number of tokens of the answer; `took` is the call's part of the seconds that its batch took."""


@dataclass(frozen=True)
class EmbeddingBatch:
    """One call of `embed` by a stage of an asset."""

    stage: str
    spec: EmbedderSpec
    missing: tuple[str, ...]
    """Distinct texts whose vectors were not in the response store."""
    seconds: float


class ObservedInference(Inference):
    """A model client that calls engines and records its calls."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._recorded: list[pl.DataFrame] = []
        self.specs: dict[str, Answering] = {}
        """The settings of the models that were called, by `weights_id`."""
        self.embedded: list[EmbeddingBatch] = []
        self.opening = 0.0
        """Seconds that opening the engines took."""

    @property
    def calls(self) -> pl.DataFrame:
        """All recorded calls, of schema `CALLS`."""
        return pl.concat([pl.DataFrame(schema=CALLS), *self._recorded])

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        ledger = Ledger()
        answers = self.ask_all(kind, spec, [Share(requests, stage, ledger)])[0]
        sizes = pl.DataFrame(
            [(request.row_id, request.prompt, _size(request), room_of(request)) for request in requests],
            schema={"row_id": pl.String, "prompt": pl.String, "size": pl.Int64, "room": pl.Int64},
            orient="row",
        ).unique(["row_id", "prompt"], keep="first", maintain_order=True)
        tokens = (pl.col("prompt_tokens") + pl.col("completion_tokens")).fill_null(0) * ~pl.col("cached")
        calls = answers.generations.rename({"request_key": "key"}).with_columns(
            stage=pl.lit(stage), took=(tokens / tokens.sum()).fill_nan(0.0) * ledger.seconds
        )
        calls = calls.join(sizes, on=["row_id", "prompt"], how="left", maintain_order="left")
        self._recorded.append(calls.select(CALLS.names()))
        self.specs[spec.weights_id] = spec
        return answers

    def _ask_engine(
        self,
        kind: Kind,
        spec: Answering,
        keys: list[str],
        requests: list[AnyRequest],
        stage: str,
        cached: int,
        attempt: int,
    ) -> tuple[pl.DataFrame, float]:
        self._open(self._pool.engine(spec))
        return super()._ask_engine(kind, spec, keys, requests, stage, cached, attempt)

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Embed texts like `Inference.embed`, and record the batch."""
        missing = self._look_up(spec, texts)[1]
        if missing:
            self._open(self._pool.embedder(spec))
        began = time.monotonic()
        vectors = super().embed(spec, texts, stage)
        self.embedded.append(EmbeddingBatch(stage, spec, tuple(missing.values()), time.monotonic() - began))
        return vectors

    def _look_up(self, spec: EmbedderSpec, texts: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str]]:
        """Return the stored vectors of texts, and the texts without a stored vector, by request key."""
        by_key = {request_key(spec.weights_id, EmbedRequest(text)): text for text in texts}
        stored = self._store.get("embed", spec.weights_id, list(by_key))
        held = set(stored["key"])
        return stored, {key: text for key, text in by_key.items() if key not in held}

    def _open(self, engine: AbstractContextManager[Any]) -> None:
        """Open an engine and add the duration to `opening`. The pool keeps the engine open for later calls."""
        began = time.monotonic()
        with engine:
            self.opening += time.monotonic() - began


class StoredInference(ObservedInference):
    """A model client that reads the response store, calls no engine and stores nothing.

    A request without a stored response gets the error `not_asked`. A text without a stored vector gets a random vector.
    """

    def _ask_engine(
        self,
        kind: Kind,
        spec: Answering,
        keys: list[str],
        requests: list[AnyRequest],
        stage: str,
        cached: int,
        attempt: int,
    ) -> tuple[pl.DataFrame, float]:
        failed = {"key": keys, "room": [room_of(request) for request in requests], "error": NOT_ASKED}
        lines = pl.DataFrame(failed, schema_overrides={"room": pl.Int64})
        return pl.concat([pl.DataFrame(schema={**RESPONSES, "room": pl.Int64}), lines], how="diagonal"), 0.0

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """Yield a `BlindEmbedder`. Bulk embedding makes no model calls, so a plan leaves it out."""
        yield BlindEmbedder()

    def embed(self, spec: EmbedderSpec, texts: Sequence[str], stage: str) -> "np.ndarray":
        """Return stored vectors, and random vectors for the other texts. A random vector is close to no other."""
        import numpy as np

        stored, missing = self._look_up(spec, texts)
        self.embedded.append(EmbeddingBatch(stage, spec, tuple(missing.values()), 0.0))
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        width = stored["vector"].to_numpy().shape[1] if stored.height else _WIDTH
        random = np.random.default_rng(len(texts)).normal(size=(len(missing), width)).astype(np.float32)
        random /= np.linalg.norm(random, axis=1, keepdims=True)
        parts = [stored] if stored.height else []
        parts += [pl.DataFrame({"key": list(missing), "vector": random})] if missing else []
        keys = [request_key(spec.weights_id, EmbedRequest(text)) for text in texts]
        return (
            pl.DataFrame({"key": keys})
            .join(pl.concat(parts), on="key", how="left", maintain_order="left")["vector"]
            .to_numpy()
        )


class BlindEmbedder:
    """An embedder that reports every token as unknown, so that callers never use its vectors."""

    width = 1

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        """Return an array of ones of shape (texts, 1)."""
        import numpy as np

        return np.ones((len(texts), 1), np.float32)

    def read(self, texts: Sequence[str]) -> Reading:
        """Report that no text is cut and that all tokens are unknown."""
        import numpy as np

        return Reading(np.zeros(len(texts), bool), np.ones(len(texts), np.float32))


def _size(request: AnyRequest) -> int:
    return len(text_of(request).encode())
