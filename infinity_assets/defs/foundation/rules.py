"""`rules`: the effect of each rule on the rows of each domain. Grain: a rule and a domain. Key: rule, domain."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.foundation import candidates
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.report import rule_tables as page
from infinity_assets.selection.rules import counts, rulebook

_SHOWN = 4
"""Rows shown on each side of a threshold."""


@dataset(
    group="foundation",
    reads=("decontaminated", "measured", "scored"),
    settings=lambda s: (s.foundation.rules,),
    columns=counts.COUNTS,
    version="2",
)
def rules(step: Step) -> Outcome:
    """The number of rows that fail each rule of InfInstruct-F, and examples from both sides of each threshold.

    Grain: one rule and one domain. Key: rule, domain. A row that fails several rules counts for each of them, but
    `decisions` of `inf_instruct_f` has only the first.
    """
    settings = step.settings.foundation.rules
    facts = candidates.facts(step.read, step.read("decontaminated").select(rulebook.PLACE).collect(), settings)
    table = counts.counts(facts, settings)
    sides = {bound: counts.sides(facts, bound, settings, _SHOWN) for bound in rulebook.BOUNDS}
    shown = page.texts(step.read("decontaminated"), pl.concat([rows["row_id"] for rows in sides.values()]))
    fails = pl.any_horizontal(bound.rule(settings).fails.fill_null(False) for bound in rulebook.BOUNDS)
    return Outcome(
        table,
        measures={"rows judged": facts.height, "rows that fail a rule": facts.filter(fails).height},
        charts={
            "counts": charts.table(page.totals(table), rows=len(rulebook.BOUNDS)),
            **{bound.name: page.examples(bound, rows, shown) for bound, rows in sides.items()},
        },
    )
