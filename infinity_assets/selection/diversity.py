"""Diversity filter: among rows with close vectors, only the highest-ranked one stays (Repr filter, arXiv 2312.15685).

The filter walks through rows in rank order. It takes a row if its cosine to every row taken before is at most the
threshold, and stops when it has enough rows. It works in blocks of rows: one matrix product with all rows taken, and
one within the block, both in single precision. Cosines within rounding error of the threshold are recomputed in double
precision, so that the result does not depend on the blocks.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.selection.vectors import Matrix, to_unit

_ROWS = 1024
_COLUMNS = 8192
"""A block of cosines has at most `_ROWS` rows and `_COLUMNS` columns: 32 MB."""
_ROUNDING = 1e-5
"""Upper bound on the error of a cosine in single precision."""

REJECTED = {"row_id": pl.String, "duplicate_of": pl.String, "similarity": pl.Float64}
"""Schema of the rejected rows. `duplicate_of` is the closest row taken, and `similarity` the cosine to it."""


@dataclass
class ReprFilter:
    """The Repr filter and the rows that it has taken, with which later walks compare their rows, too."""

    threshold: float
    """Two rows are too close if their cosine is above this."""
    _taken: list[Matrix] = field(default_factory=list)
    """Unit vectors of the rows taken, in single precision."""
    _ids: list[str] = field(default_factory=list)

    def walk(
        self, row_ids: pl.Series, vectors: Matrix, known: npt.NDArray[np.bool_], size: int
    ) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
        """Walk down the ranking and take each row that is not too close to a row taken before, until there are enough.

        Args:
            row_ids: Ids of the rows, best first.
            vectors: Shape (rows, width), of any nonzero norm; ignored where `known` is false.
            known: True for rows with a vector. Rows without one are always taken.
            size: Number of rows to take.

        Returns:
            The indices of the rows taken, ascending, and the rows passed over as too close, in schema `REJECTED`.
        """
        if self.threshold >= 1:  # no cosine exceeds it
            return np.arange(min(size, len(row_ids))), pl.DataFrame(schema=REJECTED)
        taken = [np.zeros(0, np.int64)]
        lost = [pl.DataFrame(schema=REJECTED)]
        places = size
        for start in range(0, len(row_ids), _ROWS):
            if places <= 0:
                break
            stop = min(start + _ROWS, len(row_ids))
            kept, rejected = self._block(row_ids[start:stop], vectors[start:stop], known[start:stop], places)
            taken.append(start + kept)
            lost.append(rejected)
            places -= len(kept)
        return np.concatenate(taken), pl.concat(lost)

    def _block(
        self, row_ids: pl.Series, vectors: Matrix, known: npt.NDArray[np.bool_], places: int
    ) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
        unit = np.where(known[:, None], to_unit(vectors), 0)
        best = np.full(len(unit), -1.0)
        nearest = np.full(len(unit), -1)
        offset = 0
        for part in self._taken:
            cosine = unit @ part.T
            at = cosine.argmax(axis=1)
            highest = self._exact(unit, part, cosine, at)
            closer = highest > best
            best[closer] = highest[closer]
            nearest[closer] = offset + at[closer]
            offset += len(part)
        within = unit @ unit.T
        alive = known & (best <= self.threshold)
        close = np.tril(within > self.threshold - _ROUNDING, -1) & alive[:, None] & alive[None, :]
        fellow = np.full(len(unit), -1)
        for row in np.flatnonzero(close.any(axis=1)):
            others = np.flatnonzero(close[row] & alive)
            if len(others):
                exact = _double(unit[others]) @ _double(unit[row : row + 1])[0]
                if exact.max() > self.threshold:
                    alive[row] = False
                    fellow[row] = others[exact.argmax()]
                    best[row] = exact.max()
        kept = np.flatnonzero(alive | ~known)[:places]
        end = len(unit) if len(kept) < places else kept[-1] + 1
        rejected = np.flatnonzero(~alive[:end] & known[:end])
        closest = [row_ids[int(fellow[i])] if fellow[i] >= 0 else self._ids[nearest[i]] for i in rejected]
        with_vector = kept[known[kept]]
        self._keep(unit[with_vector], row_ids.gather(with_vector).to_list())
        return kept, pl.DataFrame(
            {"row_id": row_ids.gather(rejected), "duplicate_of": closest, "similarity": best[rejected]}, schema=REJECTED
        )

    def _exact(self, unit: Matrix, part: Matrix, cosine: Matrix, at: npt.NDArray[np.int64]) -> Matrix:
        """Return each row's highest cosine to `part`; near the threshold, recompute it exactly and correct `at`."""
        highest = cosine[np.arange(len(unit)), at].astype(np.float64)
        for row in np.flatnonzero(abs(highest - self.threshold) < _ROUNDING):
            candidates = np.flatnonzero(cosine[row] > self.threshold - _ROUNDING)
            exact = _double(part[candidates]) @ _double(unit[row : row + 1])[0]
            at[row] = candidates[exact.argmax()]
            highest[row] = exact.max()
        return highest

    def _keep(self, unit: Matrix, ids: list[str]) -> None:
        self._ids += ids
        if self._taken and len(self._taken[-1]) + len(unit) <= _COLUMNS:
            unit = np.concatenate([self._taken.pop(), unit])
        if len(unit):
            self._taken.append(unit)


def _double(unit: Matrix) -> Matrix:
    wide = unit.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
