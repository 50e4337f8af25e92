"""Length and repetition of answers."""

import numpy as np
import polars as pl

from infinity_assets.rows.token_hashes import hash_tokens

GRAM = 10
"""Tokens of a run that is searched for repetitions (Gopher, arXiv 2112.11446: duplicate n-grams of 5 to 10 words)."""
_LINES = 4
"""Fewest lines of an answer whose share of repeated lines is measured."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


def repeated_lines(text: pl.Expr) -> pl.Expr:
    """Return the share of lines that repeat an earlier line, or null for fewer than four lines.

    Lines without two adjacent letters or digits, such as brackets, do not count.
    """
    lines = text.str.split("\n").list.eval(
        pl.element().str.strip_chars().filter(pl.element().str.contains(r"[\p{L}\p{N}]{2}"))
    )
    return pl.when(lines.list.len() >= _LINES).then(1 - lines.list.n_unique() / lines.list.len())


def repeated_runs(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return per text its number of tokens, and the share of its runs of `GRAM` tokens that repeat an earlier run.

    The share is NaN for a text that is shorter than a run.
    """
    tokens = hash_tokens(texts)
    lengths = np.diff(tokens.offsets)
    runs = np.maximum(lengths - GRAM + 1, 0)
    owner = np.repeat(np.arange(len(lengths)), runs)
    if not len(owner):
        return lengths, np.full(len(lengths), np.nan)
    first = np.arange(len(owner)) - np.repeat(np.cumsum(runs) - runs, runs) + np.repeat(tokens.offsets[:-1], runs)
    run = np.zeros(len(owner), np.uint64)
    with np.errstate(over="ignore"):
        for step in range(GRAM):
            run = run * _BASE + tokens.hashes[first + step]
        keyed = (run ^ (run >> np.uint64(29))) * _BASE + owner.astype(np.uint64) * np.uint64(0xD1342543DE82EF95)
    distinct = np.zeros(len(owner), np.bool_)
    distinct[np.unique(keyed, return_index=True)[1]] = True
    repeats = np.bincount(owner, ~distinct, minlength=len(lengths))
    with np.errstate(invalid="ignore"):
        return lengths, repeats / np.where(runs, runs, np.nan)
