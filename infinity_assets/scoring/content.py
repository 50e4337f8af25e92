"""What a text is about and in which language, for rows whose source does not say it."""

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.scoring import domain, language


def with_language_and_domain(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `language` and `domain` told from their text where they are null."""
    return rows.with_columns(
        pl.col("language").fill_null(language.detect(conversation.content_of("user", "assistant"))),
        pl.col("domain").fill_null(domain.classify(conversation.content_of("user"), conversation.answer())),
    )
