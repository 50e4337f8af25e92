"""What the rules want to know of a rewrite: cosines with its seed, and what the judge says of the two."""

import polars as pl

from infinity_assets.synthesis.asking import Asking
from infinity_assets.synthesis.elimination.rules import IN_DEPTH

PROMPTS = ("asks_for_harm", "gains_over", "same_request")
"""The prompts that the judge is asked with."""


def measured(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """The rewrites with what is measured about them.

    Args:
        made: row_id, language, operation, seed, seed_answer, text: one line per seed; no text where nothing was written.
        asking: The models.

    Returns:
        The same lines with `similarity` and `seed_answer_similarity` (cosines of the rewrite with the seed and with the seed's own answer, null where
        it has none) and the judge's probabilities, each null where it was not asked or did not say: `same`, that both ask the same; `gain`, that
        answering an in-depth rewrite takes more than answering its seed; `harm`, that the rewrite asks for something harmful.
    """
    text = asking.embed(made["text"])
    with_answer = pl.Series((text * asking.embed(made["seed_answer"])).sum(axis=1), dtype=pl.Float64)
    made = made.with_columns(
        similarity=pl.Series((text * asking.embed(made["seed"])).sum(axis=1), dtype=pl.Float64),
        seed_answer_similarity=pl.when(pl.col("seed_answer").is_not_null()).then(with_answer),
    )
    written = made.filter(pl.col("text").fill_null("") != "").select("row_id", "language", "operation", one="seed", other="text")
    asked = {
        "same": ("same_request", written.drop("operation")),
        "gain": ("gains_over", written.filter(IN_DEPTH).drop("operation")),
        "harm": ("asks_for_harm", written.select("row_id", "language", request="other")),
    }
    for name, (prompt, rows) in asked.items():
        told = asking.probability(prompt, rows).select("row_id", pl.col("probability").alias(name))
        made = made.join(told, on="row_id", how="left", maintain_order="left")
    return made
