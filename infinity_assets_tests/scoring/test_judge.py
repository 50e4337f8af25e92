"""Scores of the judge. An incomplete distribution must give no score instead of a wrong one."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.judge import DIGITS, NO_LOGPROBS, expectation, grade_answers
from infinity_assets_tests.properties import examples

LOGPROBS = st.floats(-30, 0)


def score(*logprobs: list | None) -> list[float | None]:
    frame = pl.DataFrame({"logprobs": pl.Series(logprobs, dtype=pl.List(pl.Float64))})
    return frame.select(expectation(pl.col("logprobs"))).to_series().to_list()


@settings(max_examples=examples(60), deadline=None)
@given(logprobs=st.lists(LOGPROBS, min_size=5, max_size=5), shift=st.floats(-5, 5))
def test_a_score_is_the_mean_digit_regardless_of_other_tokens(logprobs: list[float], shift: float) -> None:
    weights = [math.exp(value) for value in logprobs]
    expected = sum(int(digit) * weight for digit, weight in zip(DIGITS, weights, strict=True)) / sum(weights)
    assert score(logprobs) == [pytest.approx(expected)]
    assert score([value + shift for value in logprobs]) == [pytest.approx(expected)]


@settings(max_examples=examples(40), deadline=None)
@given(
    logprobs=st.lists(LOGPROBS, min_size=5, max_size=5),
    place=st.integers(0, 4),
    gap=st.sampled_from([None, math.nan, -math.inf]),
)
def test_a_missing_digit_means_no_score(logprobs: list, place: int, gap: float | None) -> None:
    logprobs[place] = gap
    assert score(logprobs) == [None]


def test_too_few_digits_mean_no_score() -> None:
    assert score(None, [], [-1.0] * 4, [-1.0] * 6, [-1.0] * 5) == [None, None, None, None, pytest.approx(3.0)]


NUMBERS = st.none() | st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), max_size=6)


def answered(lines: list[tuple[list | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(str(number), "4", logprobs, error) for number, (logprobs, error) in enumerate(lines)],
        schema={"row_id": pl.String, "text": pl.String, "choice_logprobs": pl.List(pl.Float64), "error": pl.String},
        orient="row",
    )


@settings(max_examples=examples(60), deadline=None)
@given(lines=st.lists(st.tuples(NUMBERS, st.sampled_from([None, "invalid_choice", "truncated"])), max_size=8))
def test_a_score_is_finite_or_null_with_a_reason(lines: list) -> None:
    scores = grade_answers(answered(lines))
    for number, ((_, error), (row_id, score, text, reason)) in enumerate(zip(lines, scores.iter_rows(), strict=True)):
        assert (row_id, text) == (str(number), "4")
        assert (score is None) == (reason is not None)
        assert score is None or 1 <= score <= 5
        assert error is None or reason == error


def test_without_log_probabilities_the_written_digit_counts() -> None:
    assert answered([(None, None), ([-1.0], None)]).pipe(grade_answers).rows() == [
        ("0", 4.0, "4", None), ("1", None, "4", NO_LOGPROBS),
    ]  # fmt: skip
