"""Answers in which a model reveals its identity or its maker."""

import polars as pl

from infinity_assets.selection.rules.patterns import read_patterns

_PATTERNS = read_patterns("identity")
CLAIM = _PATTERNS["claim"]
"""Pattern for a model's claim about itself."""
MENTION = _PATTERNS["mention"]

NOTHING = 0
NAMED = 1
IN_PART = 2
CLAIMED = 3


def identity(texts: pl.DataFrame) -> pl.Series:
    """Grade the mentions of a model in a row's answers: 0 to 3, as described in the rule `identity_leak`.

    A prompt that itself contains such a claim, for instance as the input of a program, counts as assigning a role.
    `texts` has the columns prompt and said (all answers of a row).
    """
    named = texts.select(
        pl.col("said").str.contains(MENTION).fill_null(False).cast(pl.Int8).alias("identity"),
        claimed=pl.col("said").str.contains(CLAIM),
    )
    at = named["claimed"].fill_null(False).arg_true()
    prompts = texts["prompt"].gather(at)
    part = prompts.str.contains(_PATTERNS["part"]) | prompts.str.contains(CLAIM)
    levels = pl.select(pl.when(part).then(IN_PART).otherwise(CLAIMED).cast(pl.Int8)).to_series()
    return named["identity"].scatter(at, levels)
