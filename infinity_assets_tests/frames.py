"""Handmade frames for several test packages."""

from collections.abc import Sequence

import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.ids import add_row_ids

Turns = Sequence[tuple[str, str]]


def conversations(*turns: Turns) -> pl.Series:
    """Return a column `messages`, from turns of (role, content)."""
    listed = [[{"role": role, "content": content} for role, content in row] for row in turns]
    return pl.Series("messages", listed, dtype=schema.MESSAGES)


def asked(*contents: str) -> pl.Series:
    """Return a column `messages` of rows with one user turn each."""
    return conversations(*([("user", content)] for content in contents))


def pool(*records: tuple[str, str, int, Turns], licence: str = "MIT") -> pl.DataFrame:
    """Return rows of the pool with their real ids, from records of (source, file, position, turns)."""
    frame = pl.DataFrame(
        {
            "messages": conversations(*(turns for *_, turns in records)),
            "source": [source for source, *_ in records],
            "file": [file for _, file, *_ in records],
            "position": [position for _, _, position, _ in records],
            "kind": ["conversation" if turns[-1][0] == "assistant" else "instruction" for *_, turns in records],
        },
        schema_overrides={"source": pl.String, "file": pl.String, "position": pl.Int64, "kind": pl.String},
    ).with_columns(licence=pl.lit(licence), domain=pl.lit("chat"), language=pl.lit("en"))
    return add_row_ids(frame).select(list(schema.ROW))
