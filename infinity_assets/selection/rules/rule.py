"""Rules, and the search for the first rule that a row fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.settings.foundation import Rules


@dataclass(frozen=True)
class Rule:
    """A condition that drops a row.

    A row fails if `fails` is true. Null counts as a pass, so a rule on a score passes rows that were never scored.
    """

    reason: str
    fails: pl.Expr
    measure: pl.Expr
    threshold: pl.Expr | str | float | int | None = None
    evidence: pl.Expr | None = None
    """Words of the row that show the failure."""


@dataclass(frozen=True, eq=False)
class Bound:
    """A rule that compares a measure with a threshold of the settings, from `rules.yaml`, which explains the fields.

    Settings may add thresholds for sources, and for domains that are not in `domains`.
    """

    name: str
    measure: pl.Expr
    fails: Literal["below", "above", "from"]
    means: str
    domains: tuple[str, ...]
    evidence: pl.Expr | None

    def threshold(self, settings: Rules) -> pl.Expr:
        """Return the threshold of each row, or null if the rule is off for it.

        The threshold of the source takes precedence over the domain's, and the domain's over the general one.
        """
        general = getattr(settings.thresholds, self.name)
        domains = {domain: general if domain in self.domains else None for domain in DOMAINS}
        domains |= {domain: values[self.name] for domain, values in settings.domains.items() if self.name in values}
        sources = {source: values[self.name] for source, values in settings.sources.items() if self.name in values}
        threshold = _look_up("domain", domains)
        if not sources:
            return threshold
        own = _look_up("source", sources)
        return pl.when(pl.col("source").is_in(list(sources))).then(own).otherwise(threshold)

    def fails_at(self, threshold: pl.Expr) -> pl.Expr:
        """Return whether a row fails at this threshold; null if the measure or the threshold is null."""
        measure = self.measure.cast(pl.Float64)
        return {"below": measure < threshold, "above": measure > threshold, "from": measure >= threshold}[self.fails]

    def rule(self, settings: Rules) -> Rule:
        """Return the bound as a `Rule` under these settings."""
        threshold = self.threshold(settings)
        return Rule(self.name, self.fails_at(threshold), self.measure, threshold, self.evidence)


def _look_up(column: str, thresholds: Mapping[Any, float | None]) -> pl.Expr:
    numbers = {name: None if value is None else float(value) for name, value in thresholds.items()}
    return pl.col(column).replace_strict(numbers, default=None, return_dtype=pl.Float64)


def first_failure(frame: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Return the rows of a frame that fail a rule, each with the first rule, in order of precedence, that it fails.

    Returns:
        One line per failing row, in the frame's order: row_id, reason, detail (JSON: measure, threshold, and evidence
        if the rule has any).
    """

    def detail(rule: Rule) -> pl.Expr:
        given = rule.threshold
        threshold = given if isinstance(given, pl.Expr) else pl.lit(None if given is None else str(given), pl.String)
        parts = [rule.measure.cast(pl.String).alias("measure"), threshold.cast(pl.String).alias("threshold")]
        if rule.evidence is not None:
            parts.append(rule.evidence.alias("evidence"))
        return pl.struct(parts).struct.json_encode()

    if not rules:
        return pl.DataFrame(schema={"row_id": pl.String, "reason": pl.String, "detail": pl.String})
    failed = frame.select(
        first=pl.coalesce(pl.when(rule.fails.fill_null(False)).then(place) for place, rule in enumerate(rules))
    )["first"]
    # Compute details only for failing rows, rule by rule: compiling a long pattern costs more than matching a few
    # hundred rows.
    places = failed.unique().drop_nulls()
    read = {"row_id", *(name for place in places for name in detail(rules[place]).meta.root_names())}
    failing = frame.select(pl.col(*read), failed).with_row_index("_line").filter(pl.col("first").is_not_null())
    parts = [
        failing.filter(pl.col("first") == place).select(
            "_line", "row_id", reason=pl.lit(rules[place].reason), detail=detail(rules[place])
        )
        for place in places
    ]
    empty = failing.clear().select("_line", "row_id", reason=pl.lit("", pl.String), detail=pl.lit("", pl.String))
    return pl.concat([empty, *parts]).sort("_line").drop("_line")
