"""Atomic file writes.

A file is written under a temporary name in the same folder and renamed into place, so a reader never sees half of it.
This holds if the process is killed, but not in a power cut, because nothing is flushed to disk (`durable` does that).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

ROW_GROUP = 50_000
"""Rows per row group of a Parquet file that is written as a stream. The writer holds one row group in memory."""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path. Its file replaces `path` if the `with` block succeeds, and is deleted if it raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(frame: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """Write a frame atomically as zstd-compressed Parquet. A lazy frame is streamed."""
    with replace_file(path) as temporary:
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(temporary, compression="zstd", row_group_size=ROW_GROUP)
        else:
            frame.write_parquet(temporary, compression="zstd")


def write_text(text: str, path: Path) -> None:
    """Write a text file atomically, in UTF-8."""
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
