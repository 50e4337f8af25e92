"""Records of a source that `raw_pool` dropped or repaired, and their bytes."""

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError

_ASSET = "raw_pool"


def quarantined_files(lake: Lake, source: str) -> pl.DataFrame:
    """Return the number of dropped and repaired records per file and reason: file, verdict, reason, records.

    Raises:
        InfinityError: The source has not been read.
    """
    _check_read(lake, source)
    decisions = lake.ledger_table("decisions", _ASSET, source)
    return (
        decisions.group_by("file", "verdict", "reason")
        .len("records")
        .sort("file", "verdict", "reason")
        .collect(engine="streaming")
    )


def quarantined_records(lake: Lake, source: str, file: str) -> pl.DataFrame:
    """Return the dropped and repaired records of a file: position, verdict, reason, bytes (size of the record).

    Raises:
        InfinityError: The source has not been read.
    """
    _check_read(lake, source)
    of_file = pl.col("file") == file
    sizes = (
        lake.ledger_table("quarantine", _ASSET, source)
        .filter(of_file)
        .select("position", pl.col("raw").bin.size().alias("bytes"))
    )
    decisions = (
        lake.ledger_table("decisions", _ASSET, source).filter(of_file).select("position", "verdict", "reason").unique()
    )
    sizes = sizes.group_by("position").agg(pl.col("bytes").sum())
    return (
        decisions.join(sizes, on="position", how="left")
        .sort("position", "verdict", "reason")
        .collect(engine="streaming")
    )


def quarantined_bytes(lake: Lake, source: str, file: str, position: int) -> bytes:
    """Return the bytes of a dropped or repaired record: as in the file if they could be located, else as JSON.

    Raises:
        InfinityError: The source has not been read, or the record has no bytes in quarantine.
    """
    _check_read(lake, source)
    wanted = (pl.col("file") == file) & (pl.col("position") == position)
    records = (
        lake.ledger_table("quarantine", _ASSET, source)
        .filter(wanted)
        .select("raw")
        .collect(engine="streaming")["raw"]
        .to_list()
    )
    if not records:
        raise InfinityError(
            f"{source} has nothing in quarantine at position {position} of {file}: "
            f"`infinity sources raw {source}` lists its records."
        )
    if not records[0]:
        raise InfinityError(
            f"{file} of {source} could not be read from this position on: see the file itself in the source's folder."
        )
    return records[0]


def _check_read(lake: Lake, source: str) -> None:
    if lake.manifest(_ASSET, source) is None:
        raise InfinityError(
            f"{source} has not been read: `infinity run --until raw_pool` reads the sources, "
            "`infinity sources list` names them."
        )
