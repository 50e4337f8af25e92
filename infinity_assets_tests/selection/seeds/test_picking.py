"""Seeds are paid for with model calls: the budget must hold, and every row must hear why it was or was not taken."""

from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.seeds import summary
from infinity_assets.selection.seeds.coverage import CELL
from infinity_assets.selection.seeds.criteria import CRITERIA, judged
from infinity_assets.settings.chat import Seeds
from infinity_assets.settings.foundation import Proxy
from infinity_assets_tests.properties import examples
from infinity_assets_tests.selection.seeds.made_up import RECIPES, ROWS, VOCABULARY, frame, picked

FEW = settings(max_examples=examples(80), deadline=None)


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_every_row_has_its_reason(rows: list[dict], recipe: Seeds) -> None:
    found = picked(rows, recipe).rows
    assert found["row_id"].to_list() == [row["row_id"] for row in rows]
    table = judged(frame(rows), VOCABULARY, recipe)
    for line, spoke in zip(found.iter_rows(named=True), table.iter_rows(named=True), strict=True):
        if line["taken"]:
            assert line["reason"] == spoke["because"] != ""
        elif spoke["enough"]:
            assert line["reason"] == ("vetoed" if spoke["vetoed"] else "over_budget")
        elif spoke["met"]:
            assert line["reason"] == "too_few_criteria"
        else:
            assert line["reason"] == ("no_criterion" if spoke["scored"] else "not_scored")
        assert not (line["taken"] and line["vetoed"])


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_the_budget_is_used_and_kept(rows: list[dict], recipe: Seeds) -> None:
    found = picked(rows, recipe).rows
    candidate = pl.col("taken") | (pl.col("reason") == "over_budget")
    raw = found.filter(candidate, "raw_material")
    raw_taken = int(raw["taken"].sum())
    assert raw_taken == min(raw.height, int(recipe.max_seeds * recipe.raw_share))
    others = found.filter(candidate, ~pl.col("raw_material"))
    assert int(others["taken"].sum()) == min(others.height, recipe.max_seeds - raw_taken)


@FEW
@given(rows=ROWS, recipe=RECIPES, data=st.data())
def test_neither_order_nor_a_larger_budget_takes_a_seed_away(
    rows: list[dict], recipe: Seeds, data: st.DataObject
) -> None:
    taken = set(picked(rows, recipe).rows.filter("taken")["row_id"])
    assert set(picked(data.draw(st.permutations(rows)), recipe).rows.filter("taken")["row_id"]) == taken
    larger = [
        set(picked(rows, recipe.model_copy(update={"max_seeds": n})).rows.filter("taken")["row_id"]) for n in range(6)
    ]
    assert all(fewer <= more for fewer, more in pairwise(larger))


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_the_cells_are_of_the_candidates(rows: list[dict], recipe: Seeds) -> None:
    found = picked(rows, recipe)
    candidates = found.rows.filter(pl.col("taken") | (pl.col("reason") == "over_budget"))
    assert found.cells.select("row_id", "taken").equals(candidates.select("row_id", "taken"))
    english = {row["row_id"] for row in rows if row["language"] == "en"}
    assert {row_id for row_id, x in found.cells.select("row_id", "x").iter_rows() if x is not None} == english & set(
        found.cells["row_id"]
    )


def test_the_deepest_of_a_cell_is_taken_and_every_cell_has_one() -> None:
    rows = [
        {"row_id": f"{n:032x}", "kind": "conversation", "language": language, "cate_ability": [ability], "ability": list("abc"),
         "label_source": "model", "depth": float(n)}
        for n, (language, ability) in enumerate([("zh", "law"), ("zh", "law"), ("zh", "law"), ("de", "law"), ("zh", "other")])
    ]  # fmt: skip
    found = picked(rows, Seeds(max_seeds=3, min_labels=3))
    assert found.rows["taken"].to_list() == [False, False, True, True, True]


def test_the_summary_counts_what_was_picked() -> None:
    rows = [
        {"row_id": f"{n:032x}", "kind": "conversation", "language": "en" if n % 2 else "zh", "ability": list("abcd")[: n % 4 + 1],
         "label_source": "model", "loss": float(n % 5), "loss_after": float(n % 3), "ifd": n / 40}
        for n in range(40)
    ]  # fmt: skip
    recipe = Seeds(
        max_seeds=7, min_labels=2, tuned=Proxy(enabled=True), grid=5, criteria=("many_labels", "hard_to_follow")
    )
    found = picked(rows, recipe)
    brought = {line["criterion"]: line for line in summary.brought(found.rows, recipe).iter_rows(named=True)}
    assert {name for name, line in brought.items() if line["in force"] == "yes"} == {
        "many_labels",
        "hard_to_follow",
        "vetoed",
    }
    shared = summary.shared(found.rows)
    for name in (*CRITERIA, "vetoed"):
        assert (
            brought[name]["rows it holds for"]
            == found.rows[name].sum()
            == shared.filter(pl.col("") == name)[name].item()
        )
        assert brought[name]["rows taken"] == (found.rows[name] & found.rows["taken"]).sum()
    both = (found.rows["many_labels"] & found.rows["hard_to_follow"]).sum()
    assert shared.filter(pl.col("") == "many_labels")["hard_to_follow"].item() == both > 0
    assert brought["vetoed"]["rows taken"] == 0
    covered = summary.covered(found.cells)
    assert (covered["candidates"].sum(), covered["seeds"].sum()) == (found.cells.height, 7)
    assert covered["with candidates"].sum() == found.cells.select(CELL).unique().height
    on_grid = summary.counts_on_grid(found.cells, 5)
    assert (on_grid.shape, on_grid.sum()) == ((5, 5), found.cells["x"].count())
