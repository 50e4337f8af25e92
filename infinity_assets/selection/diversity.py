"""Diversity: of rows whose vectors are close, only the one ranked highest stays (the Repr filter of Deita, arXiv 2312.15685).

A walk in rank order takes a row if its cosine to every row taken before is at most the threshold, and stops when it has enough. It goes by
blocks: one matrix product with all that was taken, one within the block. In single precision; a cosine that comes within rounding of the
threshold is computed again in double precision, so that who stays does not depend on the blocks.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

_ROWS, _COLUMNS = 1024, 8192
"""Size of a block of cosines: 32 MB."""
_ROUNDING = 1e-5
"""Single precision: a cosine may be off by less than this."""

_LOSERS = {"row_id": pl.String, "duplicate_of": pl.String, "similarity": pl.Float64}

Matrix = npt.NDArray[np.floating]


@dataclass
class ReprFilter:
    """The filter, and what it has taken so far: a second walk is held against the rows of the first."""

    threshold: float
    """Cosine above which two rows are too close."""
    _taken: list[Matrix] = field(default_factory=list)
    """Unit vectors, in single precision."""
    _ids: list[str] = field(default_factory=list)

    def walk(
        self, row_ids: pl.Series, vectors: Matrix, known: npt.NDArray[np.bool_], size: int
    ) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
        """Take rows in rank order, best first, until there are enough.

        Args:
            row_ids: One per row.
            vectors: Shape (rows, width), of any length but zero; anything where it is not known.
            known: Rows without a vector are close to none: they are taken.
            size: Rows to take.

        Returns:
            The places of the rows taken, ascending, and the rows that lost before there were enough: row_id, duplicate_of (the closest of the
            rows taken), similarity.
        """
        if self.threshold >= 1:  # no cosine is above it
            return np.arange(min(size, len(row_ids))), pl.DataFrame(schema=_LOSERS)
        taken, lost = [np.zeros(0, np.int64)], [pl.DataFrame(schema=_LOSERS)]
        places = size
        for start in range(0, len(row_ids), _ROWS):
            if places <= 0:
                break
            stop = min(start + _ROWS, len(row_ids))
            kept, losers = self._block(row_ids[start:stop], vectors[start:stop], known[start:stop], places)
            taken.append(start + kept)
            lost.append(losers)
            places -= len(kept)
        return np.concatenate(taken), pl.concat(lost)

    def _block(
        self, row_ids: pl.Series, vectors: Matrix, known: npt.NDArray[np.bool_], places: int
    ) -> tuple[npt.NDArray[np.int64], pl.DataFrame]:
        unit = np.where(known[:, None], _unit(vectors), 0)
        best, nearest = np.full(len(unit), -1.0), np.full(len(unit), -1)
        passed = 0
        for part in self._taken:
            cosine = unit @ part.T
            at = cosine.argmax(axis=1)
            highest = self._exact(unit, part, cosine, at)
            closer = highest > best
            best[closer], nearest[closer] = highest[closer], passed + at[closer]
            passed += len(part)
        within = unit @ unit.T
        alive = known & (best <= self.threshold)
        close = np.tril(within > self.threshold - _ROUNDING, -1) & alive[:, None] & alive[None, :]
        fellow = np.full(len(unit), -1)
        for row in np.flatnonzero(close.any(axis=1)):
            others = np.flatnonzero(close[row] & alive)
            if len(others):
                exact = _double(unit[others]) @ _double(unit[row : row + 1])[0]
                if exact.max() > self.threshold:
                    alive[row], fellow[row], best[row] = False, others[exact.argmax()], exact.max()
        kept = np.flatnonzero(alive | ~known)[:places]
        end = len(unit) if len(kept) < places else kept[-1] + 1
        losers = np.flatnonzero(~alive[:end] & known[:end])
        of = [row_ids[int(fellow[i])] if fellow[i] >= 0 else self._ids[nearest[i]] for i in losers]
        with_vector = kept[known[kept]]
        self._keep(unit[with_vector], row_ids.gather(with_vector).to_list())
        return kept, pl.DataFrame(
            {"row_id": row_ids.gather(losers), "duplicate_of": of, "similarity": best[losers]}, schema=_LOSERS
        )

    def _exact(self, unit: Matrix, part: Matrix, cosine: Matrix, at: npt.NDArray[np.int64]) -> Matrix:
        """The highest cosine of every row, exact enough to be held against the threshold."""
        highest = cosine[np.arange(len(unit)), at].astype(np.float64)
        for row in np.flatnonzero(abs(highest - self.threshold) < _ROUNDING):
            candidates = np.flatnonzero(cosine[row] > self.threshold - _ROUNDING)
            exact = _double(part[candidates]) @ _double(unit[row : row + 1])[0]
            at[row], highest[row] = candidates[exact.argmax()], exact.max()
        return highest

    def _keep(self, unit: Matrix, ids: list[str]) -> None:
        self._ids += ids
        if self._taken and len(self._taken[-1]) + len(unit) <= _COLUMNS:
            unit = np.concatenate([self._taken.pop(), unit])
        if len(unit):
            self._taken.append(unit)


def _unit(vectors: Matrix) -> Matrix:
    wide = vectors.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1)


def _double(unit: Matrix) -> Matrix:
    wide = unit.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
