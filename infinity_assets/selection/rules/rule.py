"""What a rule is, and which of several rules a row fails first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.settings.foundation import Rules


@dataclass(frozen=True)
class Rule:
    """One rule.

    A row fails where `fails` is true; null is no failure, so a rule on a score passes the rows that were never scored.
    """

    reason: str
    fails: pl.Expr
    measure: pl.Expr
    threshold: pl.Expr | str | float | int | None = None
    evidence: pl.Expr | None = None
    """Words of the row that show it."""


@dataclass(frozen=True, eq=False)
class Bound:
    """A rule that holds a number against a threshold of the settings (`foundation.rules`)."""

    name: str
    """Also the reason in `decisions`, and the threshold's name in the settings."""
    measure: pl.Expr
    """A number per row, from the columns that `measures.measure` and `rulebook.facts` give; null where there is nothing to judge."""
    fails: Literal["below", "above", "from"]
    """Below the threshold, above it, or at it and above."""
    means: str
    """One sentence: what is measured and why a row fails by it."""
    domains: tuple[str, ...] = DOMAINS
    """Where the general threshold applies. The settings of a domain or a source may apply it elsewhere."""
    evidence: pl.Expr | None = None
    """Words of the row that show it."""

    def threshold(self, settings: Rules) -> pl.Expr:
        """The threshold of each row, of its source before that of its domain before the general one; null where the rule is off."""
        general = getattr(settings.thresholds, self.name)
        domains = {domain: general if domain in self.domains else None for domain in DOMAINS}
        domains |= {domain: values[self.name] for domain, values in settings.domains.items() if self.name in values}
        sources = {source: values[self.name] for source, values in settings.sources.items() if self.name in values}
        domains = {domain: None if value is None else float(value) for domain, value in domains.items()}
        sources = {source: None if value is None else float(value) for source, value in sources.items()}
        threshold = pl.col("domain").replace_strict(domains, default=None, return_dtype=pl.Float64)
        if not sources:
            return threshold
        own = pl.col("source").replace_strict(sources, default=None, return_dtype=pl.Float64)
        return pl.when(pl.col("source").is_in(list(sources))).then(own).otherwise(threshold)

    def over(self, threshold: pl.Expr) -> pl.Expr:
        """Whether a row fails at this threshold; null where there is no measure or no threshold."""
        measure = self.measure.cast(pl.Float64)
        return {"below": measure < threshold, "above": measure > threshold, "from": measure >= threshold}[self.fails]

    def rule(self, settings: Rules) -> Rule:
        """As a rule under these settings."""
        threshold = self.threshold(settings)
        return Rule(self.name, self.over(threshold), self.measure, threshold, self.evidence)


def first_failure(frame: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """The rows that fail a rule, with the first one they fail.

    Args:
        frame: One line per row, with row_id and what the rules read.
        rules: In the order in which they are tried.

    Returns:
        One line per failing row, in the frame's order: row_id, reason, detail (JSON: measure, threshold, and evidence where the rule has any).
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
    # Details of the rows that fail alone, rule by rule: to compile a long pattern costs more than to try it on a few hundred rows.
    places = failed.unique().drop_nulls()
    read = {"row_id", *(name for place in places for name in detail(rules[place]).meta.root_names())}
    losers = frame.select(pl.col(*read), failed).with_row_index("_line").filter(pl.col("first").is_not_null())
    told = [
        losers.filter(pl.col("first") == place).select(
            "_line", "row_id", reason=pl.lit(rules[place].reason), detail=detail(rules[place])
        )
        for place in places
    ]
    empty = losers.clear().select("_line", "row_id", reason=pl.lit("", pl.String), detail=pl.lit("", pl.String))
    return pl.concat([empty, *told]).sort("_line").drop("_line")
