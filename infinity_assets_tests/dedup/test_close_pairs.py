"""Close pairs and nearest rows, against a comparison of every row with every other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from infinity_assets.dedup import close_pairs as module
from infinity_assets.dedup.close_pairs import Pairs, concat_pairs, find_close_pairs, find_nearest, keep_strongest
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
POINT = st.tuples(*[st.integers(-2, 2)] * 3)
ROWS = st.lists(st.tuples(POINT, POINT), max_size=25)  # many are equal, many close, some of length 0
FLOORS = st.sampled_from([0.3, 0.8, 0.95, 1.0])


def views(rows: list) -> list[np.ndarray]:
    return [np.array([row[side] for row in rows], np.float16).reshape(-1, 3) for side in (0, 1)]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(one @ other / np.sqrt((one @ one or 1) * (other @ other or 1)))


def every_pair(
    matrices: list[np.ndarray], floor: float, groups: np.ndarray | None = None
) -> dict[tuple[int, int], float]:
    rows = len(matrices[0])
    pairs = ((i, j) for i in range(rows) for j in range(i + 1, rows) if groups is None or groups[i] == groups[j])
    similarity = {(i, j): min(cosine(matrix[i], matrix[j]) for matrix in matrices) for i, j in pairs}
    return {pair: value for pair, value in similarity.items() if value >= floor}


def listed(pairs: Pairs) -> dict[tuple[int, int], float]:
    assert len({*zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}) == len(pairs.left)
    return {(i, j): s for i, j, s in zip(*map(np.ndarray.tolist, pairs), strict=True)}


def crowd(rows: int = 3000, width: int = 24) -> tuple[list[np.ndarray], np.ndarray]:
    """Return rows in tight clusters, some larger than the number of pairs kept per row, and keys."""
    draw = np.random.default_rng(7)
    centres = draw.normal(size=(40, width))
    matrices = [
        (centres[draw.integers(0, size, rows)] + 0.15 * draw.normal(size=(rows, width))).astype(np.float16)
        for size in (40, 4)
    ]
    return matrices, draw.integers(0, 1 << 63, rows).astype(np.uint64)


@FEW
@given(rows=ROWS, floor=FLOORS)
def test_every_close_pair_is_found(rows: list, floor: float) -> None:
    assert listed(find_close_pairs(views(rows), floor, most=100)) == pytest.approx(every_pair(views(rows), floor))


@FEW
@given(rows=ROWS, floor=FLOORS)
def test_the_graph_finds_every_close_pair_of_few_rows(rows: list, floor: float) -> None:
    """Pairs of copies of two close, unequal rows are excepted."""
    rows = [row for row in rows if any(row[0]) and any(row[1])]
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    copies = {place for place, row in enumerate(rows) if first[row] != place}
    expected = {
        (i, j): s for (i, j), s in every_pair(views(rows), floor).items() if rows[i] == rows[j] or not {i, j} <= copies
    }
    assert listed(find_close_pairs(views(rows), floor, most=100, exact_up_to=0)) == pytest.approx(expected)


@FEW
@given(rows=ROWS, floor=FLOORS, groups=st.lists(st.integers(0, 2), min_size=25, max_size=25), data=st.data())
def test_groups_and_fresh_rows_only_leave_out_pairs(
    rows: list, floor: float, groups: list[int], data: st.DataObject
) -> None:
    group = np.array(groups[: len(rows)])
    fresh = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
    found = find_close_pairs(views(rows), floor, 100, groups=group, fresh=fresh)
    expected = {pair: s for pair, s in every_pair(views(rows), floor, group).items() if fresh[list(pair)].any()}
    assert listed(found) == pytest.approx(expected)


@pytest.mark.parametrize("most", [3, 20, 5000])
def test_blocks_threads_and_density_do_not_change_a_bit(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    matrices, keys = crowd()
    whole = find_close_pairs(matrices, 0.9, most, keys=keys)
    assert len(whole.left) > 1000
    for rows, columns, dense, buffer in ((100, 700, 1 << 16, 1 << 23), (1024, 8192, 10, 1 << 23), (300, 300, 10, 500)):
        for name, value in (("_ROWS", rows), ("_COLUMNS", columns), ("_DENSE", dense), ("_BUFFER", buffer)):
            monkeypatch.setattr(module, name, value)
        with threadpool_limits(1):
            again = find_close_pairs(matrices, 0.9, most, keys=keys)
        assert [part.tobytes() for part in again] == [part.tobytes() for part in whole]


def test_the_order_of_the_rows_does_not_change_the_pairs() -> None:
    matrices, keys = crowd()
    order = np.random.default_rng(1).permutation(len(keys))
    straight = find_close_pairs(matrices, 0.9, 5, keys=keys)
    shuffled = find_close_pairs([matrix[order] for matrix in matrices], 0.9, 5, keys=keys[order])
    one, other = (
        {(frozenset((int(named[i]), int(named[j]))), s) for (i, j), s in listed(pairs).items()}
        for pairs, named in ((straight, keys), (shuffled, keys[order]))
    )
    assert one == other


@FEW
@given(
    similarities=st.lists(st.integers(0, 4), min_size=66, max_size=66),
    first=st.lists(st.booleans(), min_size=66, max_size=66),
    most=st.integers(1, 4),
)
def test_the_strongest_pairs_of_reduced_parts_are_those_of_the_whole(
    similarities: list[int], first: list[bool], most: int
) -> None:
    left, right = np.triu_indices(12, 1)
    whole = Pairs(left, right, np.array(similarities, np.float32))
    keys = np.random.default_rng(0).integers(0, 1 << 63, 12).astype(np.uint64)
    chosen = np.array(first)
    parts = [
        keep_strongest(Pairs(left[mask], right[mask], whole.similarity[mask]), 12, most, keys)
        for mask in (chosen, ~chosen)
    ]
    kept = keep_strongest(whole, 12, most, keys)
    assert listed(keep_strongest(concat_pairs(*parts), 12, most, keys)) == listed(kept)
    for row in range(12):
        mine = (left == row) | (right == row)
        mine &= whole.similarity > np.sort(whole.similarity[mine])[-most]
        assert set(zip(left[mine], right[mine], strict=True)) <= set(listed(kept))


def test_no_few_rows_are_the_neighbors_of_a_whole_crowd() -> None:
    """Ties once went to the lowest rows: when those had lost, no other row had a neighbor, and the crowd stayed."""
    vectors = np.ones((400, 8), np.float16)
    keys = np.random.default_rng(3).integers(0, 1 << 63, 400).astype(np.uint64)
    pairs = find_close_pairs([vectors], 0.9, 10, keys=keys)
    degree = np.bincount(np.concatenate([pairs.left, pairs.right]))
    assert degree.min() >= 10
    assert degree.max() < 60


def test_the_graph_finds_nearly_all_pairs() -> None:
    draw = np.random.default_rng(2)
    base = draw.normal(size=(4000, 48))
    near = np.vstack([base, base[:2000] + 0.2 * draw.normal(size=(2000, 48))]).astype(np.float16)
    truth = listed(find_close_pairs([near], 0.9, 64))
    found = listed(find_close_pairs([near], 0.9, 64, exact_up_to=0))
    assert len(truth) > 1900
    assert set(found) <= set(truth)
    assert len(found) >= 0.99 * len(truth)
    assert found == listed(find_close_pairs([near], 0.9, 64, exact_up_to=0))


@FEW
@given(
    queries=st.lists(POINT, max_size=6),
    rows=st.lists(POINT, max_size=20),
    floor=FLOORS,
    most=st.integers(1, 4),
    dense=st.booleans(),
)
def test_the_nearest_rows_of_a_query_are_found(queries: list, rows: list, floor: float, most: int, dense: bool) -> None:
    asked, vectors = (np.array(points, np.float16).reshape(-1, 3) for points in (queries, rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DENSE", 0 if dense else 1 << 16)
        patch.setattr(module, "_COLUMNS", 7)
        found = find_nearest(asked, vectors, floor, most)
    for query in range(len(asked)):
        cosines = [(cosine(asked[query], row), place) for place, row in enumerate(vectors)]
        expected = sorted((-np.float32(value), place) for value, place in cosines if value >= floor)
        mine = found.filter(query=query)
        assert list(zip(-mine["similarity"].to_numpy(), mine["row"], strict=True)) == expected[:most]
