"""Helpers that read a source or a file into memory."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl

from infinity_assets.reading.containers import Record, read_blocks
from infinity_assets.reading.guess import find_sure_guess
from infinity_assets.reading.reader import TABLES, read_source
from infinity_assets.reading.sources import Source


class Frames(NamedTuple):
    """The collected tables of a reading."""

    rows: pl.DataFrame
    decisions: pl.DataFrame
    annotations: pl.DataFrame
    quarantine: pl.DataFrame
    files: pl.DataFrame
    keys: pl.DataFrame
    records: int


def read(source: Source, workers: int = 1, guess: str = "off") -> Frames:
    """Read a source and collect its tables; `guess` is the setting `ingest.guess`."""
    with TemporaryDirectory() as scratch:
        reading = read_source(source, Path(scratch), workers=workers, guess=find_sure_guess(source, guess))
        tables = {name: getattr(reading, name).collect() for name in TABLES}
        return Frames(**tables, records=reading.records)


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, or of all files in an archive."""
    with path.open("rb") as stream:
        return [record for block in read_blocks(stream, path.name, lambda name: True) for record in block.records()]
