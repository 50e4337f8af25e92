"""Estimates of a total from a sample, with 90 % intervals.

Two-phase sampling with regression (Cochran, Sampling Techniques, 3rd ed., chapters 7 and 12): building the requests of
all rows costs no call and gives their number and size; a few of them are asked, and a line from size to tokens is
fitted to those. If the number of requests itself depends on answers, every sampled row stands for a number of others.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.6449
"""Half the width of a 90 % interval of a normal distribution, in standard deviations."""

_FEWEST = 8
"""Fewest pairs to which a line is fitted. With fewer pairs, a proportion is used."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with an error. A sum of estimates assumes that their errors are independent."""

    value: float
    variance: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, self.variance + other.variance)

    def times(self, factor: float) -> "Estimate":
        """Return the estimate multiplied by an exact factor."""
        return Estimate(self.value * factor, self.variance * factor * factor)

    def among(self, rows: "Estimate") -> "Estimate":
        """Return the estimate with the relative error of its estimated number of rows added."""
        relative = rows.variance / rows.value**2 if rows.value else 0.0
        return Estimate(self.value, self.variance + relative * self.value**2)

    @property
    def low(self) -> float:
        """Lower end of the 90 % interval, at least 0, because counts are not negative."""
        return max(0.0, self.value - _Z * math.sqrt(self.variance))

    @property
    def high(self) -> float:
        """Upper end of the 90 % interval."""
        return self.value + _Z * math.sqrt(self.variance)


def total(parts: Iterable[Estimate]) -> Estimate:
    """Return the sum of estimates."""
    return sum(parts, Estimate(0.0))


def expand(values: Numbers, weights: Numbers, share: float = 0.0) -> Estimate:
    """Estimate the total of a value over all rows from a sample.

    Args:
        values: The value of each sampled row.
        weights: The number of rows that each sampled row stands for.
        share: The sampled share of the rows that the total is about; at 1 there is no error left. 0 if the sample only
            stands for rows that are not known yet.
    """
    parts = values * weights
    if len(parts) < 2:
        return Estimate(float(parts.sum()), float((parts**2).sum()) * (1 - share))
    return Estimate(float(parts.sum()), len(parts) * float(parts.var(ddof=1)) * max(0.0, 1 - share))


def predict(sizes: Numbers, values: Numbers, count: float, size: float) -> Estimate:
    """Predict the sum of a value over requests whose sizes are known, from requests whose values are known too.

    Args:
        sizes: Sizes of the known requests.
        values: Values of the known requests.
        count: Number of requests to predict.
        size: Sum of the sizes of these requests.

    Returns:
        The prediction, with the error of the fitted line and the scatter of the requests around it.
    """
    known = len(values)
    if count <= 0 or known == 0:
        return Estimate(0.0)
    mean_size, mean_value = sizes.mean(), values.mean()
    spread = float(((sizes - mean_size) ** 2).sum())
    line = known >= _FEWEST and spread > 1e-9 * max(1.0, mean_size**2)
    if line:
        slope = float(((sizes - mean_size) * (values - mean_value)).sum()) / spread
        offset = mean_value - slope * mean_size
    else:
        slope, offset = (float(values.sum() / sizes.sum()), 0.0) if sizes.sum() > 0 else (0.0, float(mean_value))
    residuals = values - offset - slope * sizes
    freedom = known - (2 if line else 1)
    scatter = float((residuals**2).sum()) / freedom if freedom > 0 else float(mean_value**2)
    leverage = (size / count - mean_size) ** 2 / spread if line else 0.0
    return Estimate(max(0.0, count * offset + slope * size), scatter * count * (1 + count * (1 / known + leverage)))


def seconds(prompt: float, completion: float, measured: list[tuple[float, float, float]]) -> float | None:
    """Estimate the duration of model calls from measured calls.

    The seconds per prompt token and per completion token are fitted by least squares, neither below 0.

    Args:
        prompt: Prompt tokens.
        completion: Completion tokens.
        measured: Prompt tokens, completion tokens and seconds of the measured calls.

    Returns:
        Seconds, or None if there is no measured call.
    """
    tokens = np.array([line[:2] for line in measured if line[2] > 0], dtype=np.float64).reshape(-1, 2)
    took = np.array([line[2] for line in measured if line[2] > 0], dtype=np.float64)
    if not tokens.any():
        return None
    rates, *_ = np.linalg.lstsq(tokens, took, rcond=None)
    if (rates < 0).any() or not rates.any():
        # Take the best fit without a negative rate: one kind of tokens alone, or both at the same rate.
        fits = []
        for mix in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            work = tokens @ np.array(mix)
            if work.any():
                rate = float(work @ took / (work @ work))
                fits.append((float(((took - rate * work) ** 2).sum()), rate * np.array(mix)))
        rates = min(fits, key=lambda fit: fit[0])[1]
    return float(rates @ np.array([prompt, completion]))
