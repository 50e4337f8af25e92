"""Compiled loops of the selectors. Import this module inside functions: numba takes most of a second to load."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def passes(starts, labels, vocabulary, size):
    """Take rows by InsTag's complexity-first diverse sampling: within a pass, each row taken has to add a new label.

    Args:
        starts: int64, length rows + 1: where each row's labels start. Rows are in order of preference; all have labels.
        labels: int32: the labels of all rows, concatenated, as numbers from 0.
        vocabulary: Number of different labels.
        size: Number of rows to take.

    Returns:
        The indices of the rows (int64), in the order in which they were taken.
    """
    rows = len(starts) - 1
    left = np.arange(rows)
    seen = np.full(vocabulary, -1, np.int64)
    taken = np.empty(min(size, rows), np.int64)
    n = 0
    turn = 0
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
