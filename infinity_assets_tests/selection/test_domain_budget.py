"""Quotas are exact, and shares follow the settings and the loop."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.selection.domain_budget import budget, relax_rules
from infinity_assets.selection.rules import first_failure
from infinity_assets.selection.rules.rulebook import BY_NAME
from infinity_assets.settings import Foundation
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)


@FEW
@given(
    rows=st.dictionaries(st.sampled_from(DOMAINS), st.integers(0, 10_000)),
    shares=st.fixed_dictionaries({domain: st.integers(0, 1000) for domain in DOMAINS}),
    factors=st.dictionaries(st.sampled_from(DOMAINS), st.floats(1, 5)),
    max_rows=st.integers(0, 20_000),
)
def test_quotas_follow_the_shares_and_the_maximum(rows: dict, shares: dict, factors: dict, max_rows: int) -> None:
    shares = {domain: thousandths / 1000 for domain, thousandths in shares.items()}
    available = pl.DataFrame(list(rows.items()), schema={"domain": pl.String, "rows": pl.UInt32}, orient="row")
    reasons = {domain: (factor, "it lags") for domain, factor in factors.items()}
    lines = budget(available, Foundation(keep_share=shares, max_rows=max_rows), reasons)
    assert lines["domain"].to_list() == sorted(rows)
    wanted = {}
    for domain, count in rows.items():
        share = min(1.0, shares[domain] * factors.get(domain, 1.0))
        wanted[domain] = min(count, math.ceil(round(count * share, 6)))
    total = sum(wanted.values())
    assert lines["quota"].sum() == min(total, max_rows), "no row is lost"
    for line in lines.iter_rows(named=True):
        domain = line["domain"]
        assert line["available"] == rows[domain]
        assert 0 <= line["quota"] <= wanted[domain] <= line["available"]
        assert line["keep_share"] == pytest.approx(min(1.0, shares[domain] * factors.get(domain, 1.0)))
        assert ("it lags" in line["reason"]) == (domain in factors)
        if total <= max_rows:
            assert line["quota"] == wanted[domain]
        else:
            assert abs(line["quota"] - wanted[domain] * max_rows / total) < 1
            assert str(max_rows) in line["reason"]


def test_a_factor_eases_the_named_thresholds() -> None:
    available = pl.DataFrame({"domain": ["chat", "math"], "rows": [10, 10]})
    reasons = {"math": (2.0, "it lags")}
    recipe = Foundation()
    lines = budget(available, recipe, reasons)
    assert lines["eased"].to_list() == ["{}", '{"low_quality": 0.75}']
    rules = relax_rules(recipe.rules, lines)
    assert rules.domains == {"math": {"low_quality": 0.75}}
    row = {"row_id": ["a", "b"], "domain": ["math", "chat"], "source": "s", "quality": 1.0}
    assert first_failure(pl.DataFrame(row), [BY_NAME["low_quality"].rule(rules)])["row_id"].to_list() == ["b"]
    assert relax_rules(recipe.rules, budget(available, recipe)) == recipe.rules


def test_upper_bounds_are_multiplied_and_rules_that_are_off_stay_off() -> None:
    available = pl.DataFrame({"domain": ["math"], "rows": [10]})
    reasons = {"math": (2.0, "it lags")}
    changed = {
        "loop": {"ease": ["instruction_does_not_help", "low_quality"]},
        "rules": {"domains": {"math": {"low_quality": None}}},
    }
    eased = budget(available, Foundation.model_validate(changed), reasons)["eased"].item()
    assert eased == '{"instruction_does_not_help": 2.0}'
    with pytest.raises(ValueError, match=r"Input should be .*'low_quality'"):
        Foundation.model_validate({"loop": {"ease": ["nonsense"]}})
