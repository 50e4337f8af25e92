import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.likelihood import ifd

SCHEMA = {"row_id": pl.String, "sum_logprob": pl.Float64, "answer_tokens": pl.Int64, "error": pl.String}


def scored(*lines: tuple) -> pl.DataFrame:
    return pl.DataFrame([(f"r{number}", *line) for number, line in enumerate(lines)], schema=SCHEMA, orient="row")


@settings(max_examples=50, deadline=None)
@given(context=st.floats(-500, 0), alone=st.floats(-500, -0.1), tokens=st.integers(1, 400))
def test_ifd_is_the_ratio_of_two_mean_losses(context: float, alone: float, tokens: int) -> None:
    line = ifd(scored((context, tokens, None)), scored((alone, tokens, None))).row(0, named=True)
    assert line["loss"] == pytest.approx(-context / tokens)
    assert line["loss_alone"] == pytest.approx(-alone / tokens)
    assert line["ifd"] == pytest.approx(context / alone)
    assert line["likelihood_error"] is None


FAILURES = [
    # with context, alone, reason
    ((None, None, "timeout"), (-1.0, 2, None), "timeout"),
    ((-1.0, 2, None), (None, None, "too long"), "too long"),
    ((None, None, "one"), (None, None, "other"), "one"),
    ((0.0, 0, None), (0.0, 0, None), "no_answer_tokens"),
    ((-1.0, 2, None), (0.0, 2, None), "no_answer_tokens"),
    ((-math.inf, 2, None), (-1.0, 2, None), "no_answer_tokens"),
    ((math.nan, 2, None), (-1.0, 2, None), "no_answer_tokens"),
]


@pytest.mark.parametrize(("with_context", "alone", "reason"), FAILURES)
def test_what_could_not_be_scored_is_null_with_a_reason(with_context: tuple, alone: tuple, reason: str) -> None:
    line = ifd(scored(with_context), scored(alone)).row(0, named=True)
    assert (line["ifd"], line["likelihood_error"]) == (None, reason)


def test_lines_are_joined_by_id() -> None:
    context, alone = scored((-1.0, 1, None), (-8.0, 2, None), (-3.0, 1, None)), scored((-2.0, 1, None), (-4.0, 2, None))
    lines = ifd(context, alone.reverse())
    assert dict(lines.select("row_id", "ifd").iter_rows()) == {"r0": 0.5, "r1": 2.0, "r2": None}
