"""Patterns for answers that decline."""

from infinity_assets.selection.rules.patterns import read_patterns

OPENING = read_patterns("refusals")["opening"]
"""Pattern for the opening of an answer that declines."""
SENTENCE = read_patterns("refusals")["sentence"]
"""Pattern for a sentence that declines, anywhere in an answer."""
