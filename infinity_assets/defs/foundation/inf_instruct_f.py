"""`inf_instruct_f`: the foundation set. Grain: a row. Key: row_id."""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.foundation import candidates
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform, count_by
from infinity_assets.selection import composition
from infinity_assets.selection.domain_budget import relax_rules
from infinity_assets.selection.rules import first_failure, rulebook

_SCORES = {
    **dict.fromkeys(("cate_ability", "ability"), pl.List(pl.String)),
    **dict.fromkeys(("quality", "ifd", "reward", "depth", "dsir_log_weight"), pl.Float64),
    "selector": pl.String,
}
"""Columns of InfInstruct-F in addition to the columns of every row."""


@dataset(
    group="foundation",
    invariants=("conservation", "grammar", "unique", "clean", "lineage", "licence"),
    reads=(*candidates.READS, "vectors", "domain_budget"),
    settings=lambda s: (s.foundation.selecting,),
    columns={**schema.ROW, **_SCORES},
    version="7",
)
def inf_instruct_f(step: Step) -> Outcome:
    """InfInstruct-F: the foundation set.

    Grain: one row. Key: row_id. Rows that fail a rule are dropped first. Then the selectors of each domain choose rows
    in turn, up to the domain's quota. A diversity filter keeps out rows that are similar to a chosen row. No model is
    called, because all inputs are stored tables. Only the texts of chosen rows are read. `decisions` has every row of
    `decontaminated`, as chosen or dropped, with the reason.
    """
    recipe = step.settings.foundation
    rows, budget = candidates.candidates(step.read), step.read("domain_budget").collect()
    rules = relax_rules(recipe.rules, budget)
    failed = first_failure(candidates.facts(step.read, rows, rules), rulebook.rules(rules))
    passed = rows.join(failed, on="row_id", how="anti")
    quotas = dict(budget.select("domain", "quota").iter_rows())
    verdicts = composition.compose(passed, quotas, recipe, candidates.vectors_of(step.read))
    taken = verdicts.filter("taken").select("row_id", "selector", "place")
    verdict = pl.when("taken").then(pl.lit("chosen")).otherwise(pl.lit("dropped"))
    decided = pl.concat(
        [
            failed.with_columns(verdict=pl.lit("dropped")),
            verdicts.select("row_id", "reason", "detail", verdict=verdict),
        ]
    )
    scores = passed.rename({"log_weight": "dsir_log_weight"}).select("row_id", *list(_SCORES)[:-1])
    scores = taken.join(scores, on="row_id")
    texts = step.read("decontaminated").join(taken.lazy(), on="row_id", how="semi").collect(engine="streaming")
    chosen = texts.join(scores, on="row_id").select([*schema.ROW, *_SCORES]).sort("row_id")
    accounts = composition.accounts(verdicts, quotas, dict(rows.group_by("domain").len().iter_rows()))
    by_selector = chosen.group_by("domain", "selector").len("rows").sort("domain", "selector")
    without = taken.join(passed.filter(pl.col("proximity").is_null()), on="row_id", how="semi").height
    lengths = taken.join(passed, on="row_id")["answer_chars"]
    places = rows.select("row_id", "source", "file", "position")
    reasons = count_by(decided.filter(verdict="dropped"), "reason")
    return Outcome(
        chosen,
        rows_in=rows.height,
        decisions=conform(decided.join(places, on="row_id"), schema.DECISIONS),
        measures={
            "quota": int(accounts["quota"].sum()),
            "shortfall": int(accounts["shortfall"].sum()),
            "rows that fail a rule": failed.height,
            "near-duplicates": int(accounts["near_duplicates"].sum()),
            "rows of F without a vector, which pass the diversity filter": without,
        },
        charts={
            "domains": charts.table(accounts),
            "length": charts.histogram(lengths.log10(), "characters per answer, log10"),
            "selectors": charts.table(by_selector),
            "rows left out": charts.table(reasons, rows=50),
            "sources": charts.table(count_by(chosen, "source"), rows=40),
            "languages": charts.table(count_by(chosen, "language")),
        },
    )
