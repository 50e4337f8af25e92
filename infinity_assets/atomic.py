"""Files that are either wholly there or not there.

A file is written under a temporary name in the same folder and renamed into place; a reader never sees half of it. It survives a killed
process; it does not promise to survive a power cut (no fsync of the folder).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

ROW_GROUP = 50_000
"""Rows that a streamed file holds together, and that its writer holds in memory."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(frame: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """The frame as zstd-compressed Parquet; a lazy one without ever being in memory as a whole."""
    with replacing(path) as temporary:
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(temporary, compression="zstd", row_group_size=ROW_GROUP)
        else:
            frame.write_parquet(temporary, compression="zstd")


def write_text(text: str, path: Path) -> None:
    """The text as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
