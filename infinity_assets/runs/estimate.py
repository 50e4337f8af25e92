"""Estimates of a total from a sample, with 90 % intervals.

The method is two-phase sampling with regression (Cochran, Sampling Techniques, 3rd ed., chapters 7 and 12). Building
the requests of all rows needs no model call and gives their sizes. A sample is sent to the model, and a regression from
size to tokens predicts the rest. If the number of requests depends on answers, each sampled row represents several.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.6449
"""Half the width of the 90 % interval of a normal distribution, in standard deviations."""

_FEWEST = 8
"""Minimum number of requests for a linear regression. With fewer, tokens are assumed to be proportional to size."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its variance. Adding estimates assumes that their errors are independent."""

    value: float
    variance: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value + other.value, self.variance + other.variance)

    def times(self, factor: float) -> "Estimate":
        """Return the estimate multiplied by an exact number."""
        return Estimate(self.value * factor, self.variance * factor * factor)

    def among(self, rows: "Estimate") -> "Estimate":
        """Return the estimate with a larger variance, because `rows`, its number of rows, is an estimate too."""
        relative = rows.variance / rows.value**2 if rows.value else 0.0
        return Estimate(self.value, self.variance + relative * self.value**2)

    @property
    def low(self) -> float:
        """Lower end of the 90 % interval; at least 0, because counts are not negative."""
        return max(0.0, self.value - _Z * math.sqrt(self.variance))

    @property
    def high(self) -> float:
        """Upper end of the 90 % interval."""
        return self.value + _Z * math.sqrt(self.variance)


def total(parts: Iterable[Estimate | None]) -> Estimate | None:
    """Return the sum of estimates; None if one of them is None."""
    whole = Estimate(0.0)
    for part in parts:
        if part is None:
            return None
        whole += part
    return whole


def expand(values: Numbers, weights: Numbers, share: float = 0.0) -> Estimate:
    """Estimate the total of a value over all rows from a sample.

    Args:
        values: The value of each sampled row.
        weights: The number of rows that each sampled row stands for.
        share: Fraction of all rows that were sampled; at 1 the result has no error. 0 if the sampled rows are
            stand-ins for rows that do not exist yet.
    """
    parts = values * weights
    if len(parts) < 2:
        return Estimate(float(parts.sum()), float((parts**2).sum()) * (1 - share))
    return Estimate(float(parts.sum()), len(parts) * float(parts.var(ddof=1)) * max(0.0, 1 - share))


def predict(sizes: Numbers, values: Numbers, count: float, size: float) -> Estimate:
    """Predict the sum of a value over `count` requests, by regression on known requests of known sizes and values.

    `size` is the sum of the sizes of the requests to predict. The variance comes from the residuals of the known ones.
    """
    known = len(values)
    if count <= 0 or not sizes.sum():
        return Estimate(0.0)
    slope, offset = float(values.sum() / sizes.sum()), 0.0
    if known >= _FEWEST and np.ptp(sizes) > 1e-6 * sizes.mean():
        slope, offset = np.polyfit(sizes, values, 1)
    residuals = values - offset - slope * sizes
    scatter = float((residuals**2).sum()) / max(1, known - 2) if known > 1 else float(values.mean() ** 2)
    return Estimate(max(0.0, float(count * offset + slope * size)), scatter * count * (1 + count / known))
