"""What the rules want to know of a rewrite: cosines with its seed, and what the judge says of the two."""

import polars as pl

from infinity_assets.synthesis.asking import Asking

PROMPTS = ("same_request",)
"""The prompts that the judge is asked with."""


def measured(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """The rewrites with what is measured about them.

    Args:
        made: row_id, language, seed, seed_answer, text: one line per seed; no text where nothing was written.
        asking: The models.

    Returns:
        The same lines with `similarity` and `seed_answer_similarity` (cosines of the rewrite with the seed and with the seed's own answer, null where
        it has none) and `same` (the judge's probability that both ask the same; null where it was not asked or did not say).
    """
    text = asking.embed(made["text"])
    with_answer = pl.Series((text * asking.embed(made["seed_answer"])).sum(axis=1), dtype=pl.Float64)
    made = made.with_columns(
        similarity=pl.Series((text * asking.embed(made["seed"])).sum(axis=1), dtype=pl.Float64),
        seed_answer_similarity=pl.when(pl.col("seed_answer").is_not_null()).then(with_answer),
    )
    pairs = made.filter(pl.col("text").fill_null("") != "").select("row_id", "language", one="seed", other="text")
    same = asking.probability("same_request", pairs).select("row_id", same="probability")
    return made.join(same, on="row_id", how="left", maintain_order="left")
