"""A judge's score: the expectation over the digits 1 to 5, from the log-probabilities of the first token of its answer (as Deita does with
its scorers, arXiv 2312.15685). Deterministic, finer than the digit alone, and null where a log-probability is missing.
"""

import polars as pl

DIGITS = ("1", "2", "3", "4", "5")

NO_LOGPROBS = "no_logprobs"
"""The reason given where the judge answered, but not with a log-probability for each digit: the digit alone is no expectation."""


def expectation(choice_logprobs: pl.Expr) -> pl.Expr:
    """The score, from a list of the five digits' log-probabilities in their order."""
    weights = choice_logprobs.list.eval(pl.element().exp())
    weighted = choice_logprobs.list.eval(pl.element().exp() * (pl.int_range(pl.len()) + 1))
    complete = (choice_logprobs.list.len() == len(DIGITS)) & choice_logprobs.list.eval(
        pl.element().is_finite().fill_null(False)
    ).list.all()
    score = weighted.list.sum() / weights.list.sum()
    return pl.when(complete & score.is_finite()).then(score)


def graded(answers: pl.DataFrame) -> pl.DataFrame:
    """The judge's answers as scores.

    Args:
        answers: Columns row_id, text, choice_logprobs, error.

    Returns:
        One line per answer: row_id, score (1 to 5), text (what the judge wrote), error. Either the score is null or the error is.
    """
    score = pl.when(pl.col("error").is_null()).then(expectation(pl.col("choice_logprobs")))
    scored = answers.select("row_id", score.alias("score"), "text", "error")
    why = pl.when(pl.col("score").is_null()).then(pl.coalesce("error", pl.lit(NO_LOGPROBS)))
    return scored.with_columns(why.alias("error"))
