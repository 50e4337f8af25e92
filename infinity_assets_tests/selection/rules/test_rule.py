"""A failing row gets one reason: the first failing rule, with its measure and threshold."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
VALUES = st.lists(st.none() | st.integers(-3, 3), max_size=6)
THRESHOLDS = st.lists(st.integers(-3, 3), min_size=1, max_size=4)


@FEW
@given(values=VALUES, thresholds=THRESHOLDS)
def test_the_first_failing_rule_is_the_reason(values: list, thresholds: list[int]) -> None:
    frame = pl.DataFrame(
        {"row_id": [f"r{n}" for n in range(len(values))], "x": values}, schema={"row_id": pl.String, "x": pl.Int64}
    )
    rules = [Rule(f"above {n}: {t}", pl.col("x") > t, pl.col("x") * 2, t) for n, t in enumerate(thresholds)]
    expected = []
    for number, value in enumerate(values):
        failing = [(n, t) for n, t in enumerate(thresholds) if value is not None and value > t]
        if failing and value is not None:
            n, t = failing[0]
            expected.append((f"r{number}", f"above {n}: {t}", {"measure": str(value * 2), "threshold": str(t)}))
    failing_rows = first_failure(frame, rules)
    assert [(row, reason, json.loads(detail)) for row, reason, detail in failing_rows.iter_rows()] == expected
    assert failing_rows.schema == {"row_id": pl.String, "reason": pl.String, "detail": pl.String}


def test_a_null_measure_does_not_hide_a_failure() -> None:
    """The reason must not carry the evidence of a later rule."""
    frame = pl.DataFrame({"row_id": ["r"], "x": [1]})
    rules = [Rule("first", pl.col("x") == 1, pl.lit(None, pl.String)), Rule("second", pl.col("x") == 1, pl.col("x"))]
    ((_, reason, detail),) = first_failure(frame, rules).iter_rows()
    assert (reason, json.loads(detail)["measure"]) == ("first", None)
