"""Rules: named conditions under which a row is left out, each with the number it measured and the threshold it was held against.

rule        what a rule is; a `Bound` is a rule that holds a measure against a threshold of the settings
rulebook    all bounds of the foundation, in the order in which they are tried
measures    the numbers they hold, from the texts: computed once
counts      how many rows fail, which rows are nearest to a threshold, what another threshold would do
The other modules hold the measures and the bounds of one subject each.
"""

from infinity_assets.selection.rules.rule import Bound, Rule, first_failure

__all__ = ["Bound", "Rule", "first_failure"]
