"""Compiled loops of the selectors (numba). Imported where they are called: numba takes most of a second."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def passes(starts, labels, vocabulary, size):
    """InsTag's complexity-first diverse sampling: in every pass a row is taken if it brings a label that no row of the pass has brought.

    Args:
        starts: int64, one more than rows: where a row's labels begin. Rows in order of preference, each with a label.
        labels: int32: the labels of all rows, one row after the other.
        vocabulary: Number of labels.
        size: Rows to take.

    Returns:
        Rows in the order in which they are taken (int64).
    """
    rows = len(starts) - 1
    left = np.arange(rows)
    seen = np.full(vocabulary, -1, np.int64)
    taken = np.empty(min(size, rows), np.int64)
    n, turn = 0, 0
    while n < len(taken):
        kept = 0
        for place in range(len(left)):
            row = left[place]
            new = False
            if n < len(taken):
                for at in range(starts[row], starts[row + 1]):
                    if seen[labels[at]] != turn:
                        seen[labels[at]] = turn
                        new = True
            if new:
                taken[n] = row
                n += 1
            else:
                left[kept] = row
                kept += 1
        left = left[:kept]
        turn += 1
    return taken
