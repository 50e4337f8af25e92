"""Rules: named conditions that drop a row, each with a measure and a threshold.

rule        `Rule`, and `Bound`, a rule that compares a measure with a threshold of the settings
rulebook    all bounds of InfInstruct-F (`rules.yaml`), in order of precedence
measures    the measures, computed once from the texts
counts      failing rows, rows nearest to a threshold, effect of another threshold
patterns    the regular expressions and word lists (`patterns.yaml`)
Every other module computes the measures of one subject.
"""

from infinity_assets.selection.rules.rule import Bound, Rule, first_failure

__all__ = ["Bound", "Rule", "first_failure"]
