"""Model clients that record their calls for a plan: one calls engines, the other uses stored responses only."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from infinity_assets.inference.client import Answering, Answers, AnyRequest, Attempt, Inference, Share
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.inference.ledger import Ledger
from infinity_assets.inference.requests import Kind, room_of, text_of
from infinity_assets.inference.responses.store import RESPONSES
from infinity_assets.rows.frames import conform
from infinity_assets.settings.models import EmbedderSpec

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

    @property
    def calls(self) -> pl.DataFrame:
        """All recorded calls, of schema `CALLS`."""
        return pl.concat([pl.DataFrame(schema=CALLS), *self._recorded])

    def _ask(self, kind: Kind, spec: Answering, requests: Sequence[AnyRequest], stage: str) -> Answers:
        ledger = Ledger()
        answers = self.ask_all(kind, spec, [Share(requests, stage, ledger)])[0]
        sizes = pl.DataFrame(
            [
                (request.row_id, request.prompt, len(text_of(request).encode()), room_of(request))
                for request in requests
            ],
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

    def _embed_missing(
        self, spec: EmbedderSpec, missing: Mapping[str, str], stored: pl.DataFrame, stage: str
    ) -> list[pl.DataFrame]:
        began, opening = time.monotonic(), self._pool.opening_seconds
        frames = super()._embed_missing(spec, missing, stored, stage)
        seconds = time.monotonic() - began - (self._pool.opening_seconds - opening)
        self.embedded.append(EmbeddingBatch(stage, spec, tuple(missing.values()), seconds))
        return frames


class StoredInference(ObservedInference):
    """A model client that reads the response store, calls no engine and stores nothing.

    A request without a stored response gets the error `not_asked`. A text without a stored vector gets a random vector.
    """

    def _ask_engine(
        self, attempt: Attempt, missing: pl.DataFrame, requests: list[AnyRequest], cached: int
    ) -> tuple[pl.DataFrame, float]:
        lines = missing.select("key", "room", error=pl.lit(NOT_ASKED))
        return conform(lines, {**RESPONSES, "room": pl.Int64}, fill=True), 0.0

    @contextmanager
    def embedder(self, spec: EmbedderSpec) -> Iterator[Any]:
        """Yield a `BlindEmbedder`. Bulk embedding makes no model calls, so a plan leaves it out."""
        yield BlindEmbedder()

    def _embed_missing(
        self, spec: EmbedderSpec, missing: Mapping[str, str], stored: pl.DataFrame, stage: str
    ) -> list[pl.DataFrame]:
        """Return random vectors. A random vector is close to no other."""
        self.embedded.append(EmbeddingBatch(stage, spec, tuple(missing.values()), 0.0))
        width = stored["vector"].to_numpy().shape[1] if stored.height else _WIDTH
        vectors = np.random.default_rng(len(missing)).normal(size=(len(missing), width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return [pl.DataFrame({"key": list(missing), "vector": vectors})]


class BlindEmbedder:
    """An embedder that reports every token as unknown, so that callers never use its vectors."""

    width = 1

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return an array of ones of shape (texts, 1)."""
        return np.ones((len(texts), 1), np.float32)

    def read(self, texts: Sequence[str]) -> Reading:
        """Report that no text is cut and that all tokens are unknown."""
        return Reading(np.zeros(len(texts), bool), np.ones(len(texts), np.float32))
