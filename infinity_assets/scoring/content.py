"""What a text is about and in which language, for rows whose source does not say it."""

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.scoring import domain, language

_ROWS = 4000
"""Rows at a time, for memory's sake."""


def with_language_and_domain(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `language` and `domain` told from their text where they are null."""
    tag = language.detect(conversation.content_of("user", "assistant"))
    label = domain.classify(conversation.content_of("user"), conversation.answer())
    told = [
        name.fill_null(by)
        for name, by in ((pl.col("language"), tag), (pl.col("domain"), label))
        if rows[name.meta.output_name()].has_nulls()
    ]
    if not told:
        return rows
    return pl.concat([part.with_columns(told) for part in rows.iter_slices(_ROWS)])
