"""The greedy selectors against walks that recompute everything at every step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.selectors import select
from infinity_assets.selection.selectors.facility import facilities
from infinity_assets.selection.selectors.kcenter import k_centers
from infinity_assets.settings import Foundation
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.selectors.rows import LINES, frame

FEW = settings(max_examples=examples(80), deadline=None)
POINTS = st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=1, max_size=14).map(lambda p: np.array(p, np.float16))


def distances(points: np.ndarray) -> np.ndarray:
    wide = points.astype(np.float64)
    return np.sqrt(np.square(wide[:, None] - wide[None]).sum(axis=2))


def traverse(points: np.ndarray, first: int, size: int) -> list[int]:
    """Return a farthest-first traversal that recomputes all distances."""
    apart = distances(points)
    picked = [first]
    while len(picked) < min(size, len(points)):
        gap = apart[:, picked].min(axis=1)
        gap[picked] = -1
        picked.append(int(gap.argmax()))
    return picked


def check_gains(points: np.ndarray, picked: list[int]) -> None:
    """Assert that every pick has the largest gain among the rows that are left."""
    similarity = np.exp(-distances(points) / points.shape[1])
    served = np.zeros(len(points))
    for step, row in enumerate(picked):
        gains = np.maximum(similarity - served, 0).sum(axis=1)
        gains[picked[:step]] = -np.inf
        assert gains[row] == pytest.approx(gains.max(), abs=1e-9)
        served = np.maximum(served, similarity[row])


@FEW
@given(points=POINTS, size=st.integers(1, 16))
def test_k_centers_equals_a_plain_traversal(points: np.ndarray, size: int) -> None:
    picked = k_centers(points, size).tolist()
    to_mean = np.square(points.astype(np.float64) - points.astype(np.float64).mean(axis=0)).sum(axis=1)
    assert to_mean[picked[0]] == pytest.approx(to_mean.min(), abs=1e-9)
    assert picked == traverse(points, picked[0], size)


@FEW
@given(points=POINTS, size=st.integers(0, 16))
def test_every_facility_has_the_largest_gain(points: np.ndarray, size: int) -> None:
    picked = facilities(points, size).tolist()
    assert len(set(picked)) == len(picked) == min(size, len(points))
    check_gains(points, picked)


def test_walks_are_exact_over_many_rounds() -> None:
    """The rows exceed one update."""
    points = np.random.default_rng(1).normal(size=(1200, 4)).astype(np.float16)
    picked = k_centers(points, 100).tolist()
    assert picked == traverse(points, picked[0], 100)
    check_gains(points[:700], facilities(points[:700], 60).tolist())


@FEW
@given(lines=LINES, size=st.integers(0, 18))
def test_instag_equals_plain_passes(lines: list, size: int) -> None:
    rows = frame(lines)
    left = sorted(
        (-len(set(r["ability"])), r["row_id"], set(r["ability"])) for r in rows.iter_rows(named=True) if r["ability"]
    )
    expected: list[str] = []
    while left and len(expected) < size:
        seen: set[str] = set()
        rest = []
        for line in left:
            if len(expected) < size and line[2] - seen:
                expected.append(line[1])
                seen |= line[2]
            else:
                rest.append(line)
        left = rest
    assert select("instag", rows, size, Foundation()).filter("taken").sort("place")["row_id"].to_list() == expected


@FEW
@given(lines=LINES, size=st.integers(0, 18))
def test_deita_takes_no_close_pairs(lines: list, size: int) -> None:
    rows = frame(lines)
    verdicts = select("deita", rows, size, Foundation())
    taken = verdicts.filter("taken").sort("place").join(rows, on="row_id", how="left", maintain_order="left")
    vectors = taken["vector"].to_numpy().astype(np.float64).reshape(taken.height, 3)
    cosines = vectors @ vectors.T
    assert (cosines[np.triu_indices(taken.height, 1)] <= 0.9 + 1e-3).all()
    scores = (taken["complexity"] * taken["quality"]).to_list()
    assert scores == sorted(scores, reverse=True)
    if taken.height < size:
        for row in verdicts.filter(reason="near_duplicate").join(rows, on="row_id").iter_rows(named=True):
            assert (vectors @ np.array(row["vector"], np.float64)).max() > 0.9 - 1e-3
