"""From a sample to a total, with a range.

Two-phase sampling with regression (Cochran, Sampling Techniques, 3rd ed., chapters 7 and 12): requests are made for all rows, which costs no
call and gives their number and size; a few are asked. What a request's tokens are, given its size, is learnt from those. Where the number of
requests itself depends on answers, every sampled row stands for so many others.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.6449
"""Of a 90 % interval of a normal distribution."""

_FEWEST = 8
"""Pairs from which a line is fitted; from fewer, a proportion."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number that is not known exactly. Estimates that are added are taken to err independently."""

    value: float
    variance: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, self.variance + other.variance)

    def times(self, factor: float) -> "Estimate":
        """So many of it, all with the same error."""
        return Estimate(self.value * factor, self.variance * factor * factor)

    def among(self, rows: "Estimate") -> "Estimate":
        """The same, where the number of rows that it is about is an estimate too: its relative error is added."""
        relative = rows.variance / rows.value**2 if rows.value else 0.0
        return Estimate(self.value, self.variance + relative * self.value**2)

    @property
    def low(self) -> float:
        """Lower end of the 90 % interval; nothing that is counted here is below 0."""
        return max(0.0, self.value - _Z * math.sqrt(self.variance))

    @property
    def high(self) -> float:
        """Upper end of the 90 % interval."""
        return self.value + _Z * math.sqrt(self.variance)


def total(parts: Iterable[Estimate]) -> Estimate:
    """The sum of estimates."""
    return sum(parts, Estimate(0.0))


def expand(values: Numbers, weights: Numbers, share: float = 0.0) -> Estimate:
    """The total over all rows of what was counted on a sample of them.

    Args:
        values: What each sampled row came to.
        weights: How many rows each of them stands for.
        share: Share of the rows that were sampled, if they are the very rows that the total is about: all of them leave no error. 0 where they
            only stand for rows that are not known yet.
    """
    parts = values * weights
    if len(parts) < 2:
        return Estimate(float(parts.sum()), float((parts**2).sum()) * (1 - share))
    return Estimate(float(parts.sum()), len(parts) * float(parts.var(ddof=1)) * max(0.0, 1 - share))


def predict(sizes: Numbers, values: Numbers, count: float, size: float) -> Estimate:
    """The sum of a value over `count` requests of which only the size is known, from a line through those whose value is known.

    Args:
        sizes: Sizes of the requests that were asked.
        values: Their values.
        count: Requests that are predicted.
        size: Their sizes, added up.

    Returns:
        The prediction, with the error of the line and the scatter of the requests around it.
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
    """How long it takes to read and write so many tokens, from what others took: (prompt tokens, completion tokens, seconds).

    A second per prompt token and one per completion token are fitted, neither below 0 (least squares). Null if nothing was measured.
    """
    tokens = np.array([line[:2] for line in measured if line[2] > 0], dtype=np.float64).reshape(-1, 2)
    took = np.array([line[2] for line in measured if line[2] > 0], dtype=np.float64)
    if not tokens.any():
        return None
    rates, *_ = np.linalg.lstsq(tokens, took, rcond=None)
    if (rates < 0).any() or not rates.any():
        # One kind of tokens explains it, or both at one rate: the best of the fits with no negative rate.
        fits = []
        for mix in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            work = tokens @ np.array(mix)
            if work.any():
                rate = float(work @ took / (work @ work))
                fits.append((float(((took - rate * work) ** 2).sum()), rate * np.array(mix)))
        rates = min(fits, key=lambda fit: fit[0])[1]
    return float(rates @ np.array([prompt, completion]))
