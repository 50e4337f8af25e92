"""A budget is spread over the grid for rows with vectors, over languages and abilities for the others."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.seeds.coverage import CELL, Grid, assign_cells, lay_grid, round_robin
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
CELLS = st.tuples(st.integers(0, 2), st.integers(0, 2), st.none(), st.none()) | st.tuples(
    st.none(), st.none(), st.sampled_from(["zh", None]), st.sampled_from(["law", None])
)
PLACED = st.lists(
    st.tuples(CELLS, st.none() | st.integers(0, 4).map(float), st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3])),
    max_size=24,
)


def rows_in(placed: list) -> pl.DataFrame:
    lines = [(f"r{n:02}", *cell, *rest) for n, (cell, *rest) in enumerate(placed)]
    schema = {"row_id": pl.String, "x": pl.Int32, "y": pl.Int32, "language": pl.String, "ability": pl.String,
              "depth": pl.Float64, "met": pl.Int64, "draw": pl.Float64}  # fmt: skip
    return pl.DataFrame(lines, schema=schema, orient="row")


def vectors(matrix: np.ndarray) -> pl.DataFrame:
    ids = pl.Series("row_id", [f"r{n:05}" for n in range(len(matrix))])
    return pl.DataFrame([ids, pl.Series("vector", matrix.tolist(), dtype=pl.Array(pl.Float16, matrix.shape[1]))])


@FEW
@given(placed=PLACED)
def test_round_robin_equals_the_papers_code(placed: list) -> None:
    """The paper keeps a queue per cell, deepest first, and takes one row of every nonempty queue per round."""
    rows = rows_in(placed)
    order = sorted(
        rows.iter_rows(named=True),
        key=lambda r: (r["depth"] is None, -(r["depth"] or 0), -r["met"], r["draw"], r["row_id"]),
    )
    queues: dict[tuple, list[str]] = {}
    for row in order:
        queues.setdefault(tuple(row[name] for name in CELL), []).append(row["row_id"])
    rank = {row["row_id"]: place for place, row in enumerate(order)}
    taken = []
    while any(queues.values()):
        taken += sorted((queue.pop(0) for queue in queues.values() if queue), key=rank.__getitem__)
    assert round_robin(rows)["row_id"].to_list() == taken


def test_the_axes_are_the_principal_components() -> None:
    """For points on a plane in eight dimensions, all variance is shown and a cell contains nearby points."""
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    at = rng.uniform(-1, 1, size=(500, 2)) * [3, 1]
    grid = lay_grid(*_all(vectors(at @ plane + 0.2)), side=10)
    assert grid.shown == pytest.approx(1, abs=1e-3)
    places = grid.places.sort("row_id")
    assert set(places["x"]) == set(places["y"]) == set(range(10))
    # x follows the long side, up to its sign, and a cell is a tenth of it.
    along = abs(np.corrcoef(places["x"].to_numpy(), at[:, 0])[0, 1])
    assert along > 0.99
    for axis, column in enumerate(("x", "y")):
        cells = pl.DataFrame({"cell": places[column], "at": at[:, axis]}).group_by("cell")
        spread = cells.agg(pl.col("at").max() - pl.col("at").min())
        assert float(spread["at"].max()) < np.ptp(at[:, axis]) / 10 * 1.8  # type: ignore[arg-type]


def _all(table: pl.DataFrame) -> tuple[pl.Series, pl.LazyFrame]:
    return table["row_id"], table.lazy()


def test_the_grid_does_not_depend_on_other_rows_order_or_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    table = vectors(rng.normal(size=(300, 6)))
    ids = table["row_id"][:200]
    alone = lay_grid(ids, table.head(200).lazy(), 7).places
    assert lay_grid(ids.reverse(), table.lazy(), 7).places.equals(alone)
    monkeypatch.setattr("infinity_assets.selection.seeds.coverage._ROWS", 37)
    in_batches = lay_grid(ids, table.head(200).lazy(), 7).places
    assert in_batches.equals(alone), "batches have no effect"


@pytest.mark.parametrize(("count", "width"), [(0, 3), (1, 3), (2, 3), (5, 1)])
def test_few_rows_and_narrow_vectors_have_a_grid(count: int, width: int) -> None:
    grid = lay_grid(*_all(vectors(np.random.default_rng(0).normal(size=(count, width)))), side=4)
    assert grid.places.height == count
    assert grid.places.filter(~pl.col("x").is_between(0, 3) | ~pl.col("y").is_between(0, 3)).is_empty()
    assert (grid.shown is None) == (count < 2)


def test_equal_vectors_share_a_cell() -> None:
    grid = lay_grid(*_all(vectors(np.tile([0.1, 0.7, -0.3], (40, 1)))), side=9)
    assert grid.places.select("x", "y").unique().height == 1
    assert grid.shown is None


def test_a_row_without_a_vector_is_in_a_cell_of_its_language_and_ability() -> None:
    rows = pl.DataFrame(
        {"row_id": ["a", "b", "c"], "language": ["en", "zh", "zh"], "cate_ability": [["law"], ["law", "other"], None]}
    )
    places = pl.DataFrame({"row_id": ["a"], "x": [1], "y": [2]}, schema_overrides={"x": pl.Int32, "y": pl.Int32})
    cells = assign_cells(rows, Grid(places, None))
    assert cells.select(CELL).rows() == [(1, 2, None, None), (None, None, "zh", "law"), (None, None, "zh", None)]
