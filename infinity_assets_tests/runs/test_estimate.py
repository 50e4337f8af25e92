"""Estimates of a total: properties that hold for any numbers, and the coverage of the interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infinity_assets.runs.estimate import Estimate, expand, predict, total

positive = st.floats(0.0, 1e6, allow_nan=False)
numbers = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(0.0, 1e4)))


@given(numbers)
def test_a_sample_of_all_rows_has_no_error(values: np.ndarray) -> None:
    estimate = expand(values, np.ones(len(values)), share=1.0)
    assert estimate.value == pytest.approx(values.sum())
    assert (estimate.low, estimate.high) == (estimate.value, estimate.value)


@given(numbers, st.floats(1.0, 1e3))
def test_every_row_stands_for_its_weight(values: np.ndarray, weight: float) -> None:
    estimate = expand(values, np.full(len(values), weight))
    assert estimate.value == pytest.approx(values.sum() * weight)
    assert estimate.low <= estimate.value <= estimate.high


@given(st.lists(st.builds(Estimate, positive, positive), max_size=8), st.floats(0.1, 10.0))
def test_estimates_add_up_and_scale(parts: list[Estimate], factor: float) -> None:
    whole = total(parts)
    assert whole
    assert whole.value == pytest.approx(sum(part.value for part in parts))
    assert whole.times(factor).value == pytest.approx(whole.value * factor)
    assert whole.times(factor).high == pytest.approx(whole.high * factor)
    assert all(whole.variance >= part.variance for part in parts)
    assert total([*parts, None]) is None


@given(positive, positive, st.floats(1.0, 1e3), positive)
def test_an_uncertain_number_of_rows_widens_the_interval_and_keeps_the_value(
    value: float, variance: float, rows: float, unsure: float
) -> None:
    estimate = Estimate(value, variance)
    among = estimate.among(Estimate(rows, unsure))
    assert among.value == value
    assert among.variance >= variance
    assert estimate.among(Estimate(rows)) == estimate


@given(st.integers(8, 60), st.floats(0, 50), st.floats(0.01, 2.0), st.integers(1, 500), st.integers(0, 1000))
def test_tokens_on_a_line_of_the_size_are_predicted_exactly(
    known: int, offset: float, slope: float, count: int, seed: int
) -> None:
    sizes = np.random.default_rng(seed).uniform(10, 4000, known)
    wanted = np.random.default_rng(seed + 1).uniform(10, 4000, count)
    estimate = predict(sizes, offset + slope * sizes, count, float(wanted.sum()))
    assert estimate.value == pytest.approx(offset * count + slope * wanted.sum(), rel=1e-6)
    assert estimate.high - estimate.low <= 1e-3 * max(1.0, estimate.value)


@given(numbers, st.integers(1, 1000))
def test_without_sizes_the_mean_is_predicted(values: np.ndarray, count: int) -> None:
    assert predict(np.ones(len(values)), values, count, count).value == pytest.approx(values.mean() * count)


@given(numbers, numbers)
def test_no_requests_are_predicted_as_zero(sizes: np.ndarray, values: np.ndarray) -> None:
    assert predict(sizes[: len(values)], values[: len(sizes)], 0, 0.0) == Estimate(0.0)


def test_the_interval_contains_the_truth_in_nine_of_ten_cases() -> None:
    rng, held = np.random.default_rng(1), {"expand": 0, "predict": 0}
    rounds = 600
    for _ in range(rounds):
        sizes = rng.gamma(2.0, 300.0, 900)
        tokens = 40 + 0.3 * sizes + rng.normal(0, 40, 900)
        taken = rng.choice(900, 64, replace=False)
        rest = np.setdiff1d(np.arange(900), taken)
        expanded = expand(tokens[taken], np.full(64, 900 / 64), 64 / 900)
        predicted = predict(sizes[taken], tokens[taken], len(rest), float(sizes[rest].sum()))
        held["expand"] += expanded.low <= tokens.sum() <= expanded.high
        held["predict"] += predicted.low <= tokens[rest].sum() <= predicted.high
        assert predicted.variance < expanded.variance
    assert 0.86 < held["expand"] / rounds < 0.94
    assert 0.86 < held["predict"] / rounds < 0.94
