"""Records of a source that were dropped or repaired when it was read, and their bytes.

Every function raises `InfinityError` if the source has not been read.
"""

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError


def quarantined_files(lake: Lake, source: str) -> pl.DataFrame:
    """Count the dropped and repaired records by file and reason: file, verdict, reason, records."""
    counts = _table("decisions", lake, source).group_by("file", "verdict", "reason").len("records")
    return counts.sort("file", "verdict", "reason").collect(engine="streaming")


def quarantined_records(lake: Lake, source: str, file: str) -> pl.DataFrame:
    """Return the dropped and repaired records of a file: position, verdict, reason, bytes (size of the record).

    Raises:
        InfinityError: The source has no such file.
    """
    files = _table("files", lake, source).select("file").collect()["file"]
    if file not in files:
        raise InfinityError(
            f"{source} has no file {file} with records; `infinity sources raw {source}` lists files with faults."
        )
    raw, decisions = (_table(table, lake, source).filter(file=file) for table in ("quarantine", "decisions"))
    sizes = raw.group_by("position").agg(pl.col("raw").bin.size().sum().alias("bytes"))
    records = decisions.select("position", "verdict", "reason").unique().join(sizes, on="position", how="left")
    return records.sort("position", "verdict", "reason").collect(engine="streaming")


def quarantined_bytes(lake: Lake, source: str, file: str, position: int) -> bytes:
    """Return the bytes of a dropped or repaired record: the original bytes if they could be located, or else JSON.

    Raises:
        InfinityError: The record has no bytes in quarantine.
    """
    record = _table("quarantine", lake, source).filter(file=file, position=position)
    raw = record.select("raw").collect(engine="streaming")["raw"]
    if raw.is_empty():
        raise InfinityError(
            f"{source} has nothing in quarantine at position {position} of {file}: "
            f"`infinity sources raw {source}` lists its records."
        )
    if not raw[0]:
        raise InfinityError(
            f"{file} of {source} could not be read from this position on: see the file itself in the source's folder."
        )
    return raw[0]


def _table(table: str, lake: Lake, source: str) -> pl.LazyFrame:
    if lake.manifest("raw_pool", source) is None:
        raise InfinityError(
            f"{source} has not been read: `infinity run --until raw_pool` reads the sources, "
            "`infinity sources list` names them."
        )
    return lake.ledger_table(table, "raw_pool", source)
