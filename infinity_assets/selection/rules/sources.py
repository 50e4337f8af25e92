"""The list of files with little knowledge."""

import re
from collections.abc import Mapping, Sequence

import polars as pl


def match_denied(places: pl.DataFrame, patterns: Mapping[str, Sequence[str]]) -> pl.Series:
    """Return whether each file of a source (columns source, file) is denied, ignoring case.

    `patterns` maps globs (`*`, `?`) of sources to globs of their denied files.
    """
    lines = [
        _matches("source", source) & pl.any_horizontal(_matches("file", file) for file in files)
        for source, files in patterns.items()
        if files
    ]
    if not lines:
        return pl.repeat(False, places.height, eager=True)
    distinct = places.select("source", "file").unique()
    distinct = distinct.with_columns(pl.any_horizontal(lines).fill_null(False).alias("denied"))
    return places.select("source", "file").join(
        distinct, on=["source", "file"], how="left", nulls_equal=True, maintain_order="left"
    )["denied"]


def _matches(column: str, glob: str) -> pl.Expr:
    return pl.col(column).str.contains("(?is)^" + re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".") + r"\z")
