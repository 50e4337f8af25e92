"""Answers that decline."""

from infinity_assets.selection.rules.patterns import read_patterns

OPENING = read_patterns("refusals")["opening"]
"""The opening of an answer that declines."""
SENTENCE = read_patterns("refusals")["sentence"]
"""A sentence that declines, anywhere in an answer."""
