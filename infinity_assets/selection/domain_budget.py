"""How many rows each domain may bring to F, and under which thresholds."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from infinity_assets.selection.rules.rulebook import BY_NAME
from infinity_assets.settings.foundation import Foundation, Rules

BUDGET = pl.Schema(
    {
        "domain": pl.String,
        "available": pl.Int64,
        "keep_share": pl.Float64,
        "quota": pl.Int64,
        "reason": pl.String,
        "eased": pl.String,
    }
)
"""A domain's budget. The quotas add up to what all domains want, or to `max_rows`. `eased` holds the thresholds that the loop has changed, as JSON:
rule to number.
"""


def budget(
    available: pl.DataFrame, recipe: Foundation, factors: Mapping[str, tuple[float, str]] | None = None
) -> pl.DataFrame:
    """The budget.

    Args:
        available: Columns domain and rows: conversations of the pool after decontamination.
        recipe: The settings.
        factors: By domain, what its share is multiplied by, and why.

    Returns:
        `BUDGET`, by domain.
    """
    lines = []
    for domain, rows in available.select("domain", "rows").sort("domain").iter_rows():
        base, (factor, why) = recipe.keep_share.get(domain, 0.0), (factors or {}).get(domain, (1.0, ""))
        # Rounded, or 1 / 0.3 * 0.3 would leave a row behind.
        share = min(1.0, round(base * factor, 12))
        reason = f"share of the domain, {base:g}, times {factor:.3g}: {why}" if why else "share of the domain"
        eased = json.dumps(_eased(recipe, domain, factor))
        # Of rows that are counted: no share of a whole number may become one more by a rounding of the last digit.
        wanted = min(rows, -int(-round(rows * share, 9) // 1))
        lines.append(
            {
                "domain": domain,
                "available": rows,
                "keep_share": share,
                "quota": wanted,
                "reason": reason,
                "eased": eased,
            }
        )
    total = sum(line["quota"] for line in lines)
    if total > recipe.max_rows:
        for line, quota in zip(lines, _shared([line["quota"] for line in lines], recipe.max_rows), strict=True):
            line["quota"] = quota
            line["reason"] += f"; times {recipe.max_rows / total:.3f} for at most {recipe.max_rows} rows"
    return pl.DataFrame(lines, schema=BUDGET)


def _eased(recipe: Foundation, domain: Any, factor: float) -> dict[str, float]:
    """The thresholds of a domain that its factor changes."""
    eased = {}
    for name in recipe.loop.ease if factor > 1 else ():
        threshold = recipe.rules.domains.get(domain, {}).get(name, getattr(recipe.rules.thresholds, name))
        if threshold is not None:
            eased[name] = round(threshold / factor if BY_NAME[name].fails == "below" else threshold * factor, 6)
    return eased


def relaxed(rules: Rules, budget: pl.DataFrame) -> Rules:
    """The rules with the thresholds that a budget has eased. Those of a source stay as they are."""
    eased = {domain: json.loads(text) for domain, text in budget.select("domain", "eased").iter_rows()}
    domains: dict[Any, Any] = {
        domain: {**rules.domains.get(domain, {}), **changed} for domain, changed in eased.items() if changed
    }
    return rules.model_copy(update={"domains": {**rules.domains, **domains}})


def _shared(wanted: list[int], rows: int) -> list[int]:
    """So many rows in proportion to what is wanted, to the last one (largest remainders; the first of equals)."""
    total = sum(wanted)
    quotas = [count * rows // total for count in wanted]
    by_remainder = sorted(range(len(wanted)), key=lambda place: (-(wanted[place] * rows % total), place))
    for place in by_remainder[: rows - sum(quotas)]:
        quotas[place] += 1
    return quotas
