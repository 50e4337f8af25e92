"""`domain_budget`: what each domain may bring. Grain: a domain. Key: domain."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.selection import foundation


@dataset(
    group="foundation",
    reads=("decontaminated",),
    settings=lambda s: (s.foundation,),
    columns={"domain": pl.String, "available": pl.Int64, "keep_share": pl.Float64, "quota": pl.Int64, "reason": pl.String},
    meaning={
        "available": "conversations in the pool after decontamination",
        "keep_share": "share of them that F may hold",
        "quota": "rows that F may hold",
        "reason": "where the quota comes from",
    },
)
def domain_budget(step: Step) -> Outcome:
    """How many rows of each domain F may hold. Grain: one domain."""
    conversations = step.read("decontaminated").filter(pl.col("kind") == "conversation")
    available = conversations.group_by("domain").len("rows").collect()
    budget = foundation.budget(available, step.settings.foundation)
    return Outcome(budget, measures={"quota, all domains": int(budget["quota"].sum())}, charts={"budget": charts.table(budget)})
