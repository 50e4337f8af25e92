"""The judge's score: the expected value of a digit from 1 to 5, by the log-probabilities of the answer's first token.

Deita scores in this way (arXiv 2312.15685). The score is deterministic and finer than the digit that the judge writes.
It is null if the log-probability of a digit is missing. If the server gives no log-probabilities at all, the score is the
digit that the judge wrote.
"""

import polars as pl

DIGITS = ("1", "2", "3", "4", "5")

NO_LOGPROBS = "no_logprobs"
"""Error of an answer without a log-probability for each digit, from which no expected value can be computed."""


def expectation(choice_logprobs: pl.Expr) -> pl.Expr:
    """Return the score from a list of log-probabilities, one for each of the five digits in ascending order."""
    weights = choice_logprobs.list.eval(pl.element().exp())
    weighted = choice_logprobs.list.eval(pl.element().exp() * (pl.int_range(pl.len()) + 1))
    finite = choice_logprobs.list.eval(pl.element().is_finite().fill_null(False)).list.all()
    complete = (choice_logprobs.list.len() == len(DIGITS)) & finite
    score = weighted.list.sum() / weights.list.sum()
    return pl.when(complete & score.is_finite()).then(score)


def grade_answers(answers: pl.DataFrame) -> pl.DataFrame:
    """Convert the judge's answers (row_id, text, choice_logprobs, error) to scores.

    Returns:
        One line per answer: row_id, score (1 to 5), text (the raw answer), error. Either score or error is null.
    """
    logprobs = pl.col("choice_logprobs")
    written = pl.when(pl.col("text").is_in(DIGITS)).then(pl.col("text")).cast(pl.Float64)
    graded = pl.when(logprobs.is_null()).then(written).otherwise(expectation(logprobs))
    score = pl.when(pl.col("error").is_null()).then(graded)
    scored = answers.select("row_id", score.alias("score"), "text", "error")
    reason = pl.when(pl.col("score").is_null()).then(pl.coalesce("error", pl.lit(NO_LOGPROBS)))
    return scored.with_columns(reason.alias("error"))
