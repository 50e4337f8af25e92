"""The record of every answer a model gave: append-only Parquet segments under `<root>/<kind>/<model>/`, keyed by the content of the
request.

A segment is written beside its place and renamed, under a name that no other process can take, so any number of processes may write, and
a killed one loses what it had not yet appended and nothing else. Nothing is ever changed: where a key occurs twice, the later segment
holds. A look-up reads the key column of all segments and the other columns of what it finds; `compact` keeps the number of segments
small.
"""

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from infinity_assets.inference.durable import new_file
from infinity_assets.inference.models import slug
from infinity_assets.inference.requests import Kind

RESPONSES = pl.Schema(
    {
        "key": pl.String,
        "text": pl.String,
        "finish_reason": pl.String,
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
        "seconds": pl.Float64,
        "error": pl.String,
        "cause": pl.String,
        "sum_logprob": pl.Float64,
        "answer_tokens": pl.Int64,
        "choice_logprobs": pl.List(pl.Float64),
        "reward": pl.Float64,
        "window": pl.Int64,
    }
)
"""A line per answer of a language model: the key and the fields of `requests.Response`."""

EMBEDDINGS = pl.Schema({"key": pl.String, "vector": pl.Array(pl.Float32, 1)})
"""A line per vector. The width of the array is that of the model."""


class ResponseStore:
    """The answers under one folder, read and appended by any number of processes."""

    def __init__(self, root: Path):
        self.root = root

    def get(self, kind: Kind, model: str, keys: Sequence[str] | pl.Series) -> pl.DataFrame:
        """The stored lines of those keys, one per key that is there, in no particular order. `model` is the model's identity."""
        folder = self._folder(kind, model)
        wanted = pl.LazyFrame({"key": keys}, schema={"key": pl.String}).unique()
        while True:
            segments = _segments(folder)
            if not segments:
                return pl.DataFrame(schema=EMBEDDINGS if kind == "embed" else RESPONSES)
            try:
                lines = pl.scan_parquet(segments, include_file_paths="segment")
                # Streaming: only the lines that match are ever in memory together.
                found = lines.join(wanted, on="key", how="semi").collect(engine="streaming")
            except FileNotFoundError:  # another process has just compacted: its new segment is there before the old ones go
                continue
            return found.sort("segment", maintain_order=True).unique("key", keep="last").drop("segment")

    def append(self, kind: Kind, model: str, lines: pl.DataFrame) -> None:
        """Add lines, durably: when this returns they survive a crash of the process and of the machine."""
        if lines.is_empty():
            return
        with new_file(self._folder(kind, model) / _segment_name(time.time_ns())) as path:
            lines.write_parquet(path, compression="zstd")

    def compact(self, above: int = 1) -> None:
        """Merge the segments of every model that has more than `above` of them into one. Other processes may read and write meanwhile."""
        for folder in sorted(self.root.glob("*/*/")):
            segments = _segments(folder)
            if len(segments) > above:
                _merge(segments)

    def _folder(self, kind: Kind, model: str) -> Path:
        return self.root / kind / slug(model)


def _segments(folder: Path) -> list[Path]:
    """Oldest first. Hidden files are being written, or were when their process was killed."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def _segment_name(nanoseconds: int) -> str:
    return f"{nanoseconds:020d}-{os.getpid()}-{uuid.uuid4().hex[:12]}.parquet"


def _merge(segments: list[Path]) -> None:
    # The merged segment takes the time of the youngest that it replaces, so that whatever is appended meanwhile still comes after it.
    youngest = int(segments[-1].name.split("-")[0])
    try:
        with new_file(segments[0].with_name(_segment_name(youngest))) as path:
            pl.scan_parquet(segments).unique("key", keep="last", maintain_order=True).sink_parquet(path, compression="zstd")
    except FileNotFoundError:  # another process is compacting the same folder, and was faster
        return
    for segment in segments:
        segment.unlink(missing_ok=True)
