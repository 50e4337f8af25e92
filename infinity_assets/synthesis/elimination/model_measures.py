"""Measures of rewrites by models: embedding cosines with the seed, and the judge's probabilities."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets.synthesis.elimination.rewrite_rules import EVOLVES, IN_DEPTH
from infinity_assets.synthesis.prompting import Asking

PROMPTS = ("asks_for_harm", "gains_over", "same_request")
"""Names of the prompts for the judge."""

_COSINES = ("similarity", "seed_answer_similarity")
_PROBABILITIES = ("same", "gain", "harm")


def measure_rewrites(made: pl.DataFrame, asking: Asking, rules: Sequence[Rule] = ()) -> pl.DataFrame:
    """Measure rewrites with models, and apply the rules.

    A model only measures rewrites that no rule has rejected yet. The embedder gets the rewrites that pass the rules on
    texts. The judge gets the rewrites that also pass the rules on cosines.

    Args:
        made: One line per seed: row_id, language, operation, seed, seed_answer, text (null or empty if nothing was
            written), and the other columns that the rules read.
        asking: The client of the embedder and the judge.
        rules: Rules in order. Without rules, the models measure every text.

    Returns:
        `made` with the cosines `similarity` (of rewrite and seed) and `seed_answer_similarity` (of rewrite and seed's
        answer, for operations in depth or breadth), and with the judge's probabilities `same` (seed and rewrite ask for
        the same), `gain` (the rewrite takes more to answer, for operations in depth) and `harm` (the rewrite asks for
        something harmful). A measure is null if no model was asked or the call failed. Also `reason` and `detail` of
        the first failed rule, or null.
    """
    made = made.with_columns(pl.lit(None, pl.Float64).alias(name) for name in (*_COSINES, *_PROBABILITIES))
    failed = first_failure(made, rules)
    for ask in (_measure_cosines, _ask_probabilities):
        written = made.filter(pl.col("text").fill_null("") != "")
        passing = written.join(failed, on="row_id", how="anti", maintain_order="left")
        measures = ask(passing, asking)
        made, passing = _add(made, measures), _add(passing, measures)
        # Rules that read none of the new measures have already been applied.
        reading = [rule for rule in rules if not set(measures.columns[1:]).isdisjoint(rule.fails.meta.root_names())]
        failed = pl.concat([failed, first_failure(passing, reading)])
    return made.join(failed, on="row_id", how="left", maintain_order="left")


def _add(made: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    return made.drop(numbers.columns[1:]).join(numbers, on="row_id", how="left", maintain_order="left")


def _measure_cosines(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    answered = made.filter(EVOLVES, pl.col("seed_answer").is_not_null())
    parts = made["text"], made["seed"], answered["text"], answered["seed_answer"]
    vectors = asking.embed(pl.concat([part.rename("text") for part in parts]))
    text, seed, again, answer = np.split(vectors, np.cumsum([len(part) for part in parts])[:-1])
    to_seed, to_answer = (pl.Series((text * seed).sum(axis=1)), pl.Series((again * answer).sum(axis=1)))
    near_seed = made.select("row_id", similarity=to_seed.cast(pl.Float64))
    near_answer = answered.select("row_id", seed_answer_similarity=to_answer.cast(pl.Float64))
    return near_seed.join(near_answer, on="row_id", how="left", maintain_order="left")


def _ask_probabilities(made: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    asked = made.select("row_id", "language", "operation", one="seed", other="text")
    measures = asked.select("row_id")
    for name, prompt, rows in (
        ("same", "same_request", asked.drop("operation")),
        ("gain", "gains_over", asked.filter(IN_DEPTH).drop("operation")),
        ("harm", "asks_for_harm", asked.select("row_id", "language", request="other")),
    ):
        answers = asking.probability(prompt, rows).select("row_id", pl.col("probability").alias(name))
        measures = measures.join(answers, on="row_id", how="left", maintain_order="left")
    return measures
