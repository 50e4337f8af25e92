"""The number of rows that each domain may bring to F, and its thresholds."""

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
"""The budget of a domain. The quotas add up to the shares of all domains, or to `max_rows` if that is less. `eased` is
a JSON object of the thresholds that the loop has changed, from rule to number."""


def budget(
    available: pl.DataFrame, recipe: Foundation, factors: Mapping[str, tuple[float, str]] | None = None
) -> pl.DataFrame:
    """Compute the budget of each domain: schema `BUDGET`, sorted by domain.

    Args:
        available: Columns domain and rows: conversations of the pool after decontamination.
        recipe: The settings.
        factors: By domain, the factor of its share and the reason for it.
    """
    lines: list[dict[str, Any]] = []
    for domain, rows in available.select("domain", "rows").sort("domain").iter_rows():
        base = recipe.keep_share.get(domain, 0.0)
        factor, why = (factors or {}).get(domain, (1.0, ""))
        # Without rounding, a share of 1 / 0.3 * 0.3 would lose a row.
        share = min(1.0, round(base * factor, 12))
        reason = f"share of the domain, {base:g}, times {factor:.3g}: {why}" if why else "share of the domain"
        # Round up, but first remove the error of the last digit, which would add a row to a whole number.
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
    """Return the thresholds of a domain that its factor changes."""
    eased = {}
    for name in recipe.loop.ease if factor > 1 else ():
        threshold = recipe.rules.domains.get(domain, {}).get(name, getattr(recipe.rules.thresholds, name))
        if threshold is not None:
            eased[name] = round(threshold / factor if BY_NAME[name].fails == "below" else threshold * factor, 6)
    return eased


def relax_rules(rules: Rules, budget: pl.DataFrame) -> Rules:
    """Return the rules with the eased thresholds of a budget. Thresholds of sources do not change."""
    eased = {domain: json.loads(text) for domain, text in budget.select("domain", "eased").iter_rows()}
    domains: dict[Any, Any] = {
        domain: {**rules.domains.get(domain, {}), **changed} for domain, changed in eased.items() if changed
    }
    return rules.model_copy(update={"domains": {**rules.domains, **domains}})


def scale_quotas(quotas: Mapping[str, int], available: Mapping[str, int], size: int) -> dict[str, int]:
    """Scale the quotas of domains to another total, in proportion but at most the available rows.

    Largest remainders decide; the lower name wins ties.
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
