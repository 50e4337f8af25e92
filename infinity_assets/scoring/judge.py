"""A judge's score: the expectation over the digits 1 to 5, from the log-probabilities of the first token of its answer (as Deita does with
its scorers, arXiv 2312.15685). Deterministic, finer than the digit alone, and null where a log-probability is missing.
"""

import polars as pl

DIGITS = ("1", "2", "3", "4", "5")


def expectation(choice_logprobs: pl.Expr) -> pl.Expr:
    """The score, from a list of the five digits' log-probabilities in their order."""
    weights = choice_logprobs.list.eval(pl.element().exp())
    weighted = choice_logprobs.list.eval(pl.element().exp() * (pl.int_range(pl.len()) + 1))
    complete = (choice_logprobs.list.len() == len(DIGITS)) & choice_logprobs.list.eval(pl.element().is_finite().fill_null(False)).list.all()
    score = weighted.list.sum() / weights.list.sum()
    return pl.when(complete & score.is_finite()).then(score)
