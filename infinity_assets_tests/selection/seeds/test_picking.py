"""Seeds cost model calls: the budget must hold, and every row must have a reason."""

from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.seeds import summary
from infinity_assets.selection.seeds.coverage import CELL
from infinity_assets.selection.seeds.criteria import evaluate_criteria
from infinity_assets.settings.chat import Seeds
from infinity_assets.settings.foundation import Proxy
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.seeds.made_up import RECIPES, ROWS, VOCABULARY, frame, picked

FEW = settings(max_examples=examples(80), deadline=None)


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_every_row_has_a_reason(rows: list[dict], recipe: Seeds) -> None:
    result = picked(rows, recipe).rows
    assert result["row_id"].to_list() == [row["row_id"] for row in rows]
    table = evaluate_criteria(frame(rows), VOCABULARY, recipe)
    for line, verdict in zip(result.iter_rows(named=True), table.iter_rows(named=True), strict=True):
        if line["taken"]:
            assert line["reason"] == verdict["because"] != ""
        elif verdict["marked_wrong"]:
            assert line["reason"] == "marked_wrong"
        elif verdict["enough"]:
            assert line["reason"] == ("vetoed" if verdict["vetoed"] else "over_budget")
        elif verdict["met"]:
            assert line["reason"] == "too_few_criteria"
        else:
            assert line["reason"] == ("no_criterion" if verdict["scored"] else "not_scored")
        assert not (line["taken"] and (line["vetoed"] or verdict["marked_wrong"]))


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_the_budget_is_used_up_and_not_exceeded(rows: list[dict], recipe: Seeds) -> None:
    result = picked(rows, recipe).rows
    candidate = pl.col("taken") | (pl.col("reason") == "over_budget")
    raw = result.filter(candidate, "raw_material")
    raw_taken = int(raw["taken"].sum())
    assert raw_taken == min(raw.height, int(recipe.max_seeds * recipe.raw_share))
    others = result.filter(candidate, ~pl.col("raw_material"))
    assert int(others["taken"].sum()) == min(others.height, recipe.max_seeds - raw_taken)


@FEW
@given(rows=ROWS, recipe=RECIPES, data=st.data())
def test_neither_order_nor_a_larger_budget_removes_a_seed(rows: list[dict], recipe: Seeds, data: st.DataObject) -> None:
    taken = set(picked(rows, recipe).rows.filter("taken")["row_id"])
    assert set(picked(data.draw(st.permutations(rows)), recipe).rows.filter("taken")["row_id"]) == taken
    larger_recipes = [recipe.model_copy(update={"max_seeds": n}) for n in range(6)]
    larger = [set(picked(rows, each).rows.filter("taken")["row_id"]) for each in larger_recipes]
    assert all(fewer <= more for fewer, more in pairwise(larger))


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_every_candidate_has_a_cell(rows: list[dict], recipe: Seeds) -> None:
    result = picked(rows, recipe)
    candidates = result.rows.filter(pl.col("taken") | (pl.col("reason") == "over_budget"))
    assert result.cells.select("row_id", "taken").equals(candidates.select("row_id", "taken"))
    english = {row["row_id"] for row in rows if row["language"] == "en"}
    assert set(result.cells.drop_nulls("x")["row_id"]) == english & set(result.cells["row_id"])


def test_the_deepest_row_of_every_cell_is_taken() -> None:
    rows = [
        {"row_id": f"{n:032x}", "kind": "conversation", "language": language, "cate_ability": [ability], "ability": list("abc"),
         "label_source": "model", "depth": float(n)}
        for n, (language, ability) in enumerate([("zh", "law"), ("zh", "law"), ("zh", "law"), ("de", "law"), ("zh", "other")])
    ]  # fmt: skip
    result = picked(rows, Seeds(max_seeds=3, min_labels=3))
    assert result.rows["taken"].to_list() == [False, False, True, True, True]


def test_the_summary_counts_the_seeds() -> None:
    rows = [
        {"row_id": f"{n:032x}", "kind": "conversation", "language": "en" if n % 2 else "zh", "ability": list("abcd")[: n % 4 + 1],
         "label_source": "model", "loss": float(n % 5), "loss_after": float(n % 3), "ifd": n / 40}
        for n in range(40)
    ]  # fmt: skip
    recipe = Seeds(
        max_seeds=7, min_labels=2, tuned=Proxy(enabled=True), grid=5, criteria=("many_labels", "hard_to_follow")
    )
    result = picked(rows, recipe)
    counted = summary.count_by_criterion(result.rows, recipe)
    in_force = counted.filter(pl.col("in force") == "yes")["criterion"]
    assert set(in_force) == {"many_labels", "hard_to_follow", "vetoed"}
    pairs = summary.count_by_pair(result.rows)
    for line, (name, *_) in zip(counted.iter_rows(named=True), pairs.iter_rows(), strict=True):
        assert line["criterion"] == name
        assert line["rows it holds for"] == result.rows[name].sum() == pairs.filter(pl.col("") == name)[name].item()
        assert line["rows taken"] == (result.rows[name] & result.rows["taken"]).sum()
    both = (result.rows["many_labels"] & result.rows["hard_to_follow"]).sum()
    assert pairs.filter(pl.col("") == "many_labels")["hard_to_follow"].item() == both > 0
    assert counted.filter(criterion="vetoed")["rows taken"].item() == 0
    coverage = summary.count_occupied_cells(result.cells)
    assert (coverage["candidates"].sum(), coverage["seeds"].sum()) == (result.cells.height, 7)
    assert coverage["with candidates"].sum() == result.cells.select(CELL).unique().height
    on_grid = summary.count_by_cell(result.cells, 5)
    assert (on_grid.shape, on_grid.sum()) == ((5, 5), result.cells["x"].count())
