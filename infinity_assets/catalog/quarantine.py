"""What raw_pool could not use as it stood, and the bytes of it, from the books on one source."""

import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError

_ASSET = "raw_pool"


def quarantined_files(lake: Lake, source: str) -> pl.DataFrame:
    """How many records of each file were dropped or repaired, by reason: file, verdict, reason, records.

    Raises:
        InfinityError: The source is not in the lake.
    """
    _check_read(lake, source)
    decisions = lake.book("decisions", _ASSET, source)
    return (
        decisions.group_by("file", "verdict", "reason")
        .len("records")
        .sort("file", "verdict", "reason")
        .collect(engine="streaming")
    )


def quarantined_records(lake: Lake, source: str, file: str) -> pl.DataFrame:
    """The records of a file that were dropped or repaired: position, verdict, reason, bytes (how many the record has).

    Raises:
        InfinityError: The source is not in the lake.
    """
    _check_read(lake, source)
    here = pl.col("file") == file
    sizes = (
        lake.book("quarantine", _ASSET, source).filter(here).select("position", pl.col("raw").bin.size().alias("bytes"))
    )
    decisions = lake.book("decisions", _ASSET, source).filter(here).select("position", "verdict", "reason").unique()
    sizes = sizes.group_by("position").agg(pl.col("bytes").sum())
    return (
        decisions.join(sizes, on="position", how="left")
        .sort("position", "verdict", "reason")
        .collect(engine="streaming")
    )


def quarantined_bytes(lake: Lake, source: str, file: str, position: int) -> bytes:
    """The bytes of a record that was dropped or repaired, as they stand in the file where that could be told, else the record as JSON.

    Raises:
        InfinityError: There is no such record in quarantine.
    """
    _check_read(lake, source)
    wanted = (pl.col("file") == file) & (pl.col("position") == position)
    found = (
        lake.book("quarantine", _ASSET, source)
        .filter(wanted)
        .select("raw")
        .collect(engine="streaming")["raw"]
        .to_list()
    )
    if not found:
        raise InfinityError(
            f"{source} has nothing in quarantine at position {position} of {file}: `infinity sources raw {source}` shows what it has."
        )
    if not found[0]:
        raise InfinityError(
            f"{file} of {source} could not be read from there on: its bytes are the file itself, in the source's folder."
        )
    return found[0]


def _check_read(lake: Lake, source: str) -> None:
    if lake.manifest(_ASSET, source) is None:
        raise InfinityError(
            f"{source} has not been read: `infinity run --until raw_pool` reads the sources, `infinity sources list` names them."
        )
