"""Vectors of rows as matrices."""

import numpy as np
import numpy.typing as npt
import polars as pl

Matrix = npt.NDArray[np.floating]
"""Shape (rows, width)."""


def to_matrix(vectors: pl.Series) -> Matrix:
    """Return the vectors of a column as a matrix. A null becomes NaN."""
    return vectors.to_numpy().reshape(len(vectors), -1) if len(vectors) else np.zeros((0, 1), np.float16)


def to_unit(vectors: Matrix) -> Matrix:
    """Scale vectors to length 1, in single precision. A vector of zeros does not change."""
    wide = vectors.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1)
