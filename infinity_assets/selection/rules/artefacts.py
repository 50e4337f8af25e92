"""Debris of formats, templates and tools in answers, and answers that stop in the middle."""

import re

import polars as pl

from infinity_assets.rows import grammar
from infinity_assets.selection.rules.patterns import read_patterns

_PATTERNS = read_patterns("artefacts")
MARKS = "|".join([*map(re.escape, grammar.DEBRIS), _PATTERNS["marks"]])
"""Pattern for marks and headings of chat and instruction templates, and for special tokens."""
EXCHANGE = _PATTERNS["exchange"]
CALCULATOR = _PATTERNS["calculator"]
TOOLS = _PATTERNS["tools"]
PLACEHOLDER = _PATTERNS["placeholder"]
MID = _PATTERNS["mid"]
CLOSING = _PATTERNS["closing"]

NO_DEBRIS = 0
ASKED_FOR = 1
DEBRIS = 2
_LONG = 200
"""Characters from which an answer counts as prose, which should end with punctuation."""


def grade_debris(prompt: pl.Expr, answers: pl.Expr) -> pl.Expr:
    """Grade the debris of templates in answers: 0, 1 or 2, as described in the rule `template_debris`."""
    exchange = pl.when(prompt.str.contains(_PATTERNS["dialogue"])).then(ASKED_FOR).otherwise(DEBRIS)
    second_turn = pl.when(answers.str.contains(EXCHANGE)).then(exchange).otherwise(NO_DEBRIS)
    return pl.when(answers.str.contains(MARKS)).then(DEBRIS).otherwise(second_turn).cast(pl.Int8)


def grade_unfinished(answer: pl.Expr) -> pl.Expr:
    """Grade whether an answer stops in the middle: 0, 1 or 2, as described in the rule `unfinished`."""
    ends = answer.str.contains(_PATTERNS["ends"])
    closing = answer.str.contains(CLOSING)
    open_block = answer.str.count_matches("```") % 2 == 1
    long = answer.str.len_chars() >= _LONG
    stops = ~ends & (open_block | (long & answer.str.contains(MID))) & ~closing
    level = pl.when(stops).then(2).when(long & ~ends).then(1).otherwise(0)
    return pl.when(answer.is_not_null()).then(level).cast(pl.Int8)
