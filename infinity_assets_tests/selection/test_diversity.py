"""Against a greedy walk that compares every row with every survivor above it."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from infinity_assets.selection.diversity import near_duplicates

FEW = settings(max_examples=80, deadline=None)
POINTS = st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), max_size=30)  # many of them equal, many close
THRESHOLDS = st.sampled_from([0.3, 0.8, 0.95, 0.999])


def unit(points: list) -> np.ndarray:
    vectors = np.array(points, np.float32).reshape(-1, 3)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def greedy(vectors: np.ndarray, threshold: float) -> dict[int, float]:
    """Every loser, with its similarity to the survivor it is closest to."""
    alive: list[int] = []
    lost = {}
    for index, vector in enumerate(vectors.astype(np.float64)):
        closest = max((float(vector @ vectors[other].astype(np.float64)) for other in alive), default=-1.0)
        if closest > threshold:
            lost[index] = closest
        else:
            alive.append(index)
    return lost


@FEW
@given(points=POINTS, threshold=THRESHOLDS)
def test_it_finds_what_a_greedy_walk_finds(points: list, threshold: float) -> None:
    vectors = unit(points)
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assume(not (abs(cosines - threshold) < 1e-6).any())
    losers = near_duplicates(vectors, threshold)
    assert dict(losers.select("index", "similarity").iter_rows()) == pytest.approx(greedy(vectors, threshold))
    for index, of, similarity in losers.iter_rows():
        assert of < index
        assert of not in set(losers["index"])
        assert cosines[index, of] == pytest.approx(similarity)


def test_equal_rows_share_the_fate_of_the_best_of_them() -> None:
    """Texts that begin alike have equal vectors. All but the best-ranked were kept if that one lost to a third row."""
    vectors = np.array([(1, 0), (np.cos(0.1), np.sin(0.1)), (np.cos(0.1), np.sin(0.1))], np.float32)
    assert near_duplicates(vectors, 0.95)["index"].to_list() == [1, 2]


def test_many_rows_in_tight_clusters() -> None:
    """Neighbours all of one cluster are what hnswlib's graph is worst at: the search must come back, and most rows be found."""
    generator = np.random.default_rng(0)
    centres = np.eye(8, dtype=np.float32)[generator.integers(0, 8, 600)]
    noisy = centres + generator.normal(0, 0.01, centres.shape).astype(np.float32)
    losers = near_duplicates(noisy / np.linalg.norm(noisy, axis=1, keepdims=True), 0.9)
    assert 600 - losers.height >= 8
    assert losers.height > 500
