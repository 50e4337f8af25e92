"""What the rules want to know of a rewrite: cosines with its seed, and what the judge says of the two."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets.synthesis.elimination.rewrite_rules import EVOLVES, IN_DEPTH
from infinity_assets.synthesis.prompting import Asking

PROMPTS = ("asks_for_harm", "gains_over", "same_request")
"""The prompts that the judge is asked with."""


_COSINES = ("similarity", "seed_answer_similarity")
_PROBABILITIES = ("same", "gain", "harm")


def measured(made: pl.DataFrame, asking: Asking, rules: Sequence[Rule] = ()) -> pl.DataFrame:
    """The rewrites with what is measured about them, and the rule that takes them. Models are asked only about those that no rule takes already: the
    embedder about what passes the rules of the texts, the judge about what is neither too near to its seed nor too far.

    Args:
        made: row_id, language, operation, seed, seed_answer, text, and what else the rules read: one line per seed; no text where nothing was
            written.
        asking: The models.
        rules: In the order in which they are tried; without any, models are asked about every text.

    Returns:
        The same lines with `similarity` and `seed_answer_similarity` (cosines of the rewrite with the seed, and with the seed's own answer where
        it has one and the operation evolves it) and the judge's probabilities: `same`, that both ask the same; `gain`, that answering an
        in-depth rewrite takes more than answering its seed; `harm`, that the rewrite asks for something harmful. Each is null where no model was
        asked or none told. Then `reason` and `detail` of the first rule that fails, null where none does.
    """
    made = made.with_columns(pl.lit(None, pl.Float64).alias(name) for name in (*_COSINES, *_PROBABILITIES))
    failed = first_failure(made, rules)
    for ask in (_cosines, _probabilities):
        passing = made.filter(pl.col("text").fill_null("") != "").join(
            failed, on="row_id", how="anti", maintain_order="left"
        )
        told = ask(passing, asking)
        made, passing = _with(made, told), _with(passing, told)
        # The others have nothing new to say.
        reading = [rule for rule in rules if not set(told.columns[1:]).isdisjoint(rule.fails.meta.root_names())]
        failed = pl.concat([failed, first_failure(passing, reading)])
    return made.join(failed, on="row_id", how="left", maintain_order="left")


def _with(made: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    return made.drop(numbers.columns[1:]).join(numbers, on="row_id", how="left", maintain_order="left")


def _cosines(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    answered = made.filter(EVOLVES, pl.col("seed_answer").is_not_null())
    parts = made["text"], made["seed"], answered["text"], answered["seed_answer"]
    vectors = asking.embed(pl.concat([part.rename("text") for part in parts]))
    text, seed, again, answer = np.split(vectors, np.cumsum([len(part) for part in parts])[:-1])
    near_answer = answered.select(
        "row_id", seed_answer_similarity=pl.Series((again * answer).sum(axis=1), dtype=pl.Float64)
    )
    near_seed = made.select("row_id", similarity=pl.Series((text * seed).sum(axis=1), dtype=pl.Float64))
    return near_seed.join(near_answer, on="row_id", how="left", maintain_order="left")


def _probabilities(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    asked = made.select("row_id", "language", "operation", one="seed", other="text")
    found = asked.select("row_id")
    for name, prompt, rows in (
        ("same", "same_request", asked.drop("operation")),
        ("gain", "gains_over", asked.filter(IN_DEPTH).drop("operation")),
        ("harm", "asks_for_harm", asked.select("row_id", "language", request="other")),
    ):
        told = asking.probability(prompt, rows).select("row_id", pl.col("probability").alias(name))
        found = found.join(told, on="row_id", how="left", maintain_order="left")
    return found
