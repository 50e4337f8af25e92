"""The effect of the rules: failing rows, the rows nearest to a threshold, and the effect of another threshold."""

import polars as pl

from infinity_assets.errors import InfinityError
from infinity_assets.rows.frames import conform
from infinity_assets.selection.rules.rule import Bound
from infinity_assets.selection.rules.rulebook import BOUNDS, BY_NAME, replace_threshold
from infinity_assets.settings.foundation import Rules

COUNTS = pl.Schema({
    "rule": pl.String, "domain": pl.String, "threshold": pl.Float64, "judged": pl.Int64, "failing": pl.Int64,
    "failing_alone": pl.Int64, "share": pl.Float64,
})  # fmt: skip
"""Grain: a rule and a domain. The threshold is null if the rule is off. `share` is failing / judged."""
SIDES = pl.Schema({
    "row_id": pl.String, "source": pl.String, "domain": pl.String, "fails": pl.Boolean, "measure": pl.Float64,
    "threshold": pl.Float64, "evidence": pl.String,
})  # fmt: skip
"""Grain: a row near the threshold. Key: row_id."""


def find_bound(name: str) -> Bound:
    """Return the rule of this name, or raise an `InfinityError` that lists the known names."""
    if name not in BY_NAME:
        raise InfinityError(f"There is no rule `{name}`; there are {', '.join(BY_NAME)}.")
    return BY_NAME[name]


def counts(facts: pl.DataFrame, settings: Rules) -> pl.DataFrame:
    """Count the rows that each rule judges and fails in each domain: schema `COUNTS`, by rule, then by domain.

    `failing_alone` counts rows that fail no other rule: they would pass if the rule were off. `threshold` is that of
    the domain; sources may have others. `facts` is the result of `rulebook.facts`, here and below.
    """
    fails = facts.select(bound.rule(settings).fails.fill_null(False).alias(bound.name) for bound in BOUNDS)
    alone = fails.select(pl.sum_horizontal(pl.all()) == 1).to_series()
    general = settings.model_copy(update={"sources": {}})
    lines = []
    for bound in BOUNDS:
        frame = facts.select(
            "domain",
            bound.threshold(general).alias("threshold"),
            (bound.measure.is_not_null() & bound.threshold(settings).is_not_null()).alias("judged"),
            failing=fails[bound.name],
            failing_alone=fails[bound.name] & alone,
        )
        counted = frame.group_by("domain").agg(
            pl.col("threshold").first(), pl.col("judged", "failing", "failing_alone").sum()
        )
        share = (pl.col("failing") / pl.col("judged")).fill_nan(None)
        lines.append(counted.sort("domain").with_columns(rule=pl.lit(bound.name), share=share))
    return conform(pl.concat(lines), COUNTS)


def sides(facts: pl.DataFrame, bound: Bound, settings: Rules, rows: int) -> pl.DataFrame:
    """Return the rows nearest to a threshold, at most `rows` failing and `rows` passing ones: schema `SIDES`.

    The failing rows come first, each group nearest first. Among equally near rows, the sources alternate.
    """
    judged = facts.select(
        "row_id",
        "source",
        "domain",
        bound.rule(settings).fails.alias("fails"),
        bound.measure.cast(pl.Float64).alias("measure"),
        bound.threshold(settings).alias("threshold"),
        (bound.evidence if bound.evidence is not None else pl.lit(None, pl.String)).cast(pl.String).alias("evidence"),
    ).filter(pl.col("fails").is_not_null())
    # Row ids are hashes: a part of them, another one for each rule, serves as a random number.
    lot = pl.col("row_id").str.slice(8 + BOUNDS.index(bound) % 16)
    judged = judged.with_columns((pl.col("measure") - pl.col("threshold")).abs().alias("away"), lot.alias("lot"))
    few = judged.group_by("fails", "source").agg(pl.all().exclude("fails", "source").bottom_k_by(["away", "lot"], rows))
    few = few.explode(few.columns[2:]).with_columns(
        pl.col("lot").rank("ordinal").over("fails", "away", "source").alias("turn")
    )
    nearest = few.sort("fails", "away", "turn", "lot", descending=[True, False, False, False])
    return nearest.group_by("fails", maintain_order=True).head(rows).select(list(SIDES))


def what_if(facts: pl.DataFrame, bound: Bound, settings: Rules, threshold: float) -> pl.DataFrame:
    """Compute the effect of replacing all thresholds of a rule by one. Where the rule is off, it stays off.

    Returns:
        One line per domain that the rule applies to: domain, judged, failing (now), failing_then (with the new
        threshold), more (the difference), alone_then (rows that then fail no other rule).
    """
    changed = replace_threshold(settings, bound.name, threshold)
    before, after = (bound.rule(each).fails.fill_null(False) for each in (settings, changed))
    applies = bound.threshold(changed).is_not_null()
    others = pl.any_horizontal(
        other.rule(settings).fails.fill_null(False) for other in BOUNDS if other.name != bound.name
    )
    judged = bound.measure.is_not_null()
    frame = facts.filter(applies).select("domain", judged=judged, now=before, then=after, others=others)
    counted = frame.group_by("domain").agg(
        judged=pl.col("judged").sum(),
        failing=pl.col("now").sum(),
        failing_then=pl.col("then").sum(),
        alone_then=(pl.col("then") & ~pl.col("others")).sum(),
    )
    counted = counted.with_columns(pl.all().exclude("domain").cast(pl.Int64)).sort("domain")
    more = (pl.col("failing_then") - pl.col("failing")).alias("more")
    return counted.select("domain", "judged", "failing", "failing_then", more, "alone_then")
