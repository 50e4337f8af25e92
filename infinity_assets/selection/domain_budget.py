"""The number of rows that each domain may contribute to F, and the thresholds that the loop has eased."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from infinity_assets.selection.rules.rulebook import BY_NAME
from infinity_assets.settings.foundation import Foundation, Rules

BUDGET = pl.Schema({
    "domain": pl.String, "available": pl.Int64, "keep_share": pl.Float64, "quota": pl.Int64, "reason": pl.String,
    "eased": pl.String,
})  # fmt: skip
"""Grain: a domain. `quota` is the number of rows: `keep_share` of the available rows, scaled down if all quotas
together exceed `max_rows`. `eased` is a JSON object with the thresholds that the loop has changed, by rule."""


def budget(
    available: pl.DataFrame, recipe: Foundation, factors: Mapping[str, tuple[float, str]] | None = None
) -> pl.DataFrame:
    """Compute the budget of each domain: schema `BUDGET`, sorted by domain.

    Args:
        available: Columns domain and rows (number of conversations in the pool after decontamination).
        recipe: Settings of F.
        factors: By domain, the factor by which the loop multiplies its share, and the reason.
    """
    lines: list[dict[str, Any]] = []
    for domain, rows in available.select("domain", "rows").sort("domain").iter_rows():
        base = recipe.keep_share.get(domain, 0.0)
        factor, why = (factors or {}).get(domain, (1.0, ""))
        # Without rounding, floating-point error (1 / 0.3 * 0.3) could cost a row.
        share = min(1.0, round(base * factor, 12))
        reason = f"share of the domain, {base:g}, times {factor:.3g}: {why}" if why else "share of the domain"
        # Round up, but first remove floating-point error, which would add a row to a whole number.
        quota = min(rows, -int(-round(rows * share, 9) // 1))
        line = (domain, rows, share, quota, reason, json.dumps(_eased(recipe, domain, factor)))
        lines.append(dict(zip(BUDGET, line, strict=True)))
    total = sum(line["quota"] for line in lines)
    if total > recipe.max_rows:
        quotas = {line["domain"]: line["quota"] for line in lines}
        scaled = scale_quotas(quotas, quotas, recipe.max_rows)
        for line in lines:
            line["quota"] = scaled[line["domain"]]
            line["reason"] += f"; times {recipe.max_rows / total:.3f} for at most {recipe.max_rows} rows"
    return pl.DataFrame(lines, schema=BUDGET)


def _eased(recipe: Foundation, domain: Any, factor: float) -> dict[str, float]:
    """Return the thresholds that a domain's factor changes, by rule."""
    eased = {}
    for name in recipe.loop.ease if factor > 1 else ():
        threshold = recipe.rules.domains.get(domain, {}).get(name, getattr(recipe.rules.thresholds, name))
        if threshold is not None:
            eased[name] = round(threshold / factor if BY_NAME[name].fails == "below" else threshold * factor, 6)
    return eased


def relax_rules(rules: Rules, budget: pl.DataFrame) -> Rules:
    """Return the rules with the eased thresholds of a budget (`BUDGET`). Thresholds of sources do not change."""
    eased = {domain: json.loads(text) for domain, text in budget.select("domain", "eased").iter_rows()}
    domains: dict[Any, Any] = {
        domain: {**rules.domains.get(domain, {}), **changed} for domain, changed in eased.items() if changed
    }
    return rules.model_copy(update={"domains": {**rules.domains, **domains}})


def scale_quotas(quotas: Mapping[str, int], available: Mapping[str, int], size: int) -> dict[str, int]:
    """Scale the quotas of domains to the total `size`, in proportion, but at most to the available rows.

    Fractions are rounded by largest remainder; among equal remainders, the first domain by name is rounded up.
    """
    scaled = dict.fromkeys(sorted(quotas), 0)
    while (left := size - sum(scaled.values())) > 0:
        open_ = [d for d in scaled if scaled[d] < available.get(d, 0) and quotas[d] > 0]
        if not open_:
            break
        total = sum(quotas[d] for d in open_)
        whole = {d: left * quotas[d] // total for d in open_}
        for d in sorted(open_, key=lambda d: (-(left * quotas[d] % total), d))[: left - sum(whole.values())]:
            whole[d] += 1
        for d in open_:
            scaled[d] = min(scaled[d] + whole[d], available.get(d, 0))
    return scaled
