"""The filter against a greedy walk that compares every row with all rows taken before."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from infinity_assets.selection.diversity import ReprFilter
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(80), deadline=None)
POINTS = st.lists(st.tuples(*[st.integers(-2, 2)] * 3), max_size=30)
"""Many equal, many close; zeros are unknown vectors."""
THRESHOLDS = st.sampled_from([0.3, 0.8, 0.95, 0.999])


def ids(rows: int) -> pl.Series:
    return pl.Series([f"r{n}" for n in range(rows)], dtype=pl.String)


def greedy(unit: np.ndarray, known: np.ndarray, threshold: float, size: int) -> tuple[list[int], dict[str, float]]:
    """Return the rows taken, and every rejected row with its similarity to the closest row taken."""
    taken, lost = list[int](), {}
    for index, vector in enumerate(unit):
        if len(taken) == size:
            break
        closest = max((float(vector @ unit[other]) for other in taken if known[other]), default=-1.0)
        if known[index] and closest > threshold:
            lost[f"r{index}"] = closest
        else:
            taken.append(index)
    return taken, lost


def units(points: list) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.array(points, np.float64).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1), lengths[:, 0] > 0


@FEW
@given(points=POINTS, threshold=THRESHOLDS, size=st.integers(0, 30), cut=st.integers(0, 30))
def test_one_or_two_walks_equal_a_greedy_walk(points: list, threshold: float, size: int, cut: int) -> None:
    unit, known = units(points)
    cosines = unit @ unit.T
    assume(not (abs(cosines - threshold) < 1e-6).any())
    expected, lost = greedy(unit, known, threshold, size)
    taken, rejected = ReprFilter(threshold).walk(ids(len(unit)), unit, known, size)
    assert taken.tolist() == expected
    assert dict(rejected.select("row_id", "similarity").iter_rows()) == pytest.approx(lost, abs=1e-5)
    for row, closest, similarity in rejected.iter_rows():
        assert int(closest[1:]) in expected
        assert cosines[int(row[1:]), int(closest[1:])] == pytest.approx(similarity, abs=1e-5)
    twice = ReprFilter(threshold)
    one, _ = twice.walk(ids(len(unit))[:cut], unit[:cut], known[:cut], size)
    two, _ = twice.walk(ids(len(unit))[cut:], unit[cut:], known[cut:], size - len(one))
    assert [*one, *(cut + two)] == expected


def test_the_size_of_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    unit, known = units(np.random.default_rng(0).integers(-4, 5, (400, 3)).tolist())
    whole = ReprFilter(0.9).walk(ids(400), unit, known, 400)
    monkeypatch.setattr("infinity_assets.selection.diversity._ROWS", 7)
    monkeypatch.setattr("infinity_assets.selection.diversity._COLUMNS", 11)
    parts = ReprFilter(0.9).walk(ids(400), unit, known, 400)
    assert parts[0].tolist() == whole[0].tolist()
    assert parts[1]["row_id"].to_list() == whole[1]["row_id"].to_list()


def test_equal_rows_are_all_rejected_for_the_same_row() -> None:
    near = (np.cos(0.1), np.sin(0.1))
    vectors = np.array([(1, 0), near, near], np.float32)
    _, rejected = ReprFilter(0.95).walk(ids(3), vectors, np.ones(3, bool), 3)
    assert rejected["row_id"].to_list() == ["r1", "r2"]
    assert rejected["duplicate_of"].to_list() == ["r0", "r0"]
