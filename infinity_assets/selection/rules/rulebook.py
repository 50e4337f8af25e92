"""All rules of InfInstruct-F, in order of precedence."""

from pathlib import Path

import polars as pl
import yaml

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.selection.rules import sources
from infinity_assets.selection.rules.rule import Bound, Rule
from infinity_assets.settings.foundation import Rules

BY_NAME = {
    name: Bound(
        name,
        pl.sql_expr(rule["measure"]),
        rule["fails"],
        rule["means"],
        tuple(rule.get("domains", DOMAINS)),
        pl.sql_expr(rule["evidence"]) if "evidence" in rule else None,
    )
    for name, rule in yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8")).items()
}
BOUNDS = tuple(BY_NAME.values())
"""All bounds, in order of precedence."""

PLACE = ("row_id", "source", "file", "domain")
"""Columns that the rules read from the rows."""
SCORES = ("row_id", "ifd", "quality")
"""Columns that the rules read from the scores."""


def facts(rows: pl.DataFrame, measured: pl.DataFrame, scored: pl.DataFrame, settings: Rules) -> pl.DataFrame:
    """Join the columns that the rules read: one line per row, in the order of `rows`.

    `rows` has at least the columns `PLACE`, and `measured` those of `measures.MEASURES`. `scored` has at least
    `SCORES`, and only rows that were scored.
    """
    joined = rows.join(measured, on="row_id", how="left", maintain_order="left").join(
        scored.select(SCORES), on="row_id", how="left", maintain_order="left"
    )
    return joined.with_columns(sources.match_denied(rows, settings.denied).alias("denied"))


def replace_threshold(settings: Rules, name: str, threshold: float) -> Rules:
    """Return settings with one value for all thresholds of a rule. Where the rule is off, it stays off."""

    def changed(values: dict[str, float | None]) -> dict[str, float | None]:
        return {rule: threshold if rule == name and value is not None else value for rule, value in values.items()}

    return settings.model_copy(
        update={
            "thresholds": settings.thresholds.model_copy(update={name: threshold}),
            "domains": {domain: changed(values) for domain, values in settings.domains.items()},
            "sources": {source: changed(values) for source, values in settings.sources.items()},
        }
    )


def rules(settings: Rules) -> list[Rule]:
    """Return the bounds as rules under these settings, in order of precedence."""
    return [bound.rule(settings) for bound in BOUNDS]
