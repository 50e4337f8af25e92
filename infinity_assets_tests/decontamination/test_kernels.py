"""The compiled measures of runs that a text shares with a part of a benchmark item."""

import numpy as np
import pytest

from infinity_assets.decontamination.kernels import measure


@pytest.mark.parametrize(("head", "covered"), [(3, 0), (5, 5), (20, 10)])
def test_the_piece_of_a_run_inside_the_head_counts_if_it_is_long_enough_itself(head: int, covered: int) -> None:
    """One run of ten tokens at the start of a part of twenty, whose head ends after `head` tokens; five must match."""
    tokens = 20
    result = measure(
        np.array([[0, 0, 0, 0, 10]], np.int64), np.array([0, 1], np.int64), 13, 4, 5, np.arange(tokens + 1, dtype=np.int64),
        np.array([head], np.int64), np.arange(tokens, dtype=np.int64), True,
    )  # fmt: skip
    assert result[0].tolist()[:4] == [10, 10, covered, covered]
