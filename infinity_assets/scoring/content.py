"""Language and domain of rows whose source does not name them."""

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.scoring import domain, language

_ROWS = 4000
"""Number of rows per batch, which limits the memory."""


def fill_language_and_domain(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill the nulls in `language` and `domain` by classifying the texts of the rows."""
    tag = language.detect(conversation.content_of("user", "assistant"))
    label = domain.classify(conversation.content_of("user"), conversation.answer())
    filled = [
        name.fill_null(by)
        for name, by in ((pl.col("language"), tag), (pl.col("domain"), label))
        if rows[name.meta.output_name()].has_nulls()
    ]
    if not filled:
        return rows
    return pl.concat([part.with_columns(filled) for part in rows.iter_slices(_ROWS)])
