"""Seeds are paid for with model calls: the budget must hold, and every row must hear why it was or was not taken."""

from itertools import pairwise
from statistics import mean, stdev

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.chat_settings import Seeds
from infinity_assets.selection.seeds.criteria import CRITERIA
from infinity_assets.selection.seeds.picking import pick

FEW = settings(max_examples=80, deadline=None)
SCHEMA = {
    "row_id": pl.String, "kind": pl.String, "cate_ability": pl.List(pl.String), "ability": pl.List(pl.String), "label_source": pl.String,
    "loss": pl.Float64, "ifd": pl.Float64,
}  # fmt: skip
SCORED = st.tuples(
    st.just("conversation"),
    st.sampled_from([[], ["law"], ["law", "other"], ["research"]]),
    st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=4),
    st.sampled_from(["model", "neighbours"]),
    st.none() | st.floats(0, 9),
    st.none() | st.floats(0, 2),
)
UNSCORED = st.just(("conversation", None, None, None, None, None))
RAW = st.tuples(st.sampled_from(["instruction", "text"]), st.sampled_from([None, ["law"]]), st.none(), st.none(), st.none(), st.none())
ROWS = st.lists(SCORED | UNSCORED | RAW, max_size=16)
RECIPES = st.builds(
    Seeds,
    max_seeds=st.integers(0, 12),
    raw_share=st.floats(0, 1),
    long_tail=st.sampled_from([(1, 1), (2, 3)]),
    min_labels=st.integers(1, 4),
)
VOCABULARY = pl.DataFrame({"label": list("abcdef"), "rows": [1, 2, 3, 4, 5, 6]})


def lines(rows: list) -> list:
    return [(f"{n:032x}", *row) for n, row in enumerate(rows)]


def picked(rows: list, recipe: Seeds) -> pl.DataFrame:
    return pick(pl.DataFrame(rows, schema=SCHEMA, orient="row"), VOCABULARY, recipe)


def criteria(row: tuple, losses: list[float], recipe: Seeds) -> list[str]:
    """What speaks for a row, in plain Python."""
    _, kind, _, labels, said_by, loss, ifd = row
    by_model = said_by == "model"
    if kind != "conversation":
        return ["raw_material"]
    rare = {label for label, count in VOCABULARY.iter_rows() if recipe.long_tail[0] <= count <= recipe.long_tail[1]}
    hard = len(losses) > 1 and loss is not None and loss > mean(losses) + recipe.loss_sigma * stdev(losses) + 1e-9
    holds = {
        "long_tail": by_model and bool(rare & set(labels or [])),
        "many_labels": by_model and len(labels or []) >= recipe.min_labels,
        "hard_by_loss": hard,
        "hard_to_follow": ifd is not None and recipe.ifd_range[0] <= ifd <= recipe.ifd_range[1],
    }
    return [name for name in CRITERIA if holds.get(name)]


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_every_row_has_its_criteria_and_its_reason(rows: list, recipe: Seeds) -> None:
    rows = lines(rows)
    # Two equal losses differ from their own mean by rounding alone.
    rows = [(*row[:5], None if row[5] is None else round(row[5]), row[6]) for row in rows]
    losses = [row[5] for row in rows if row[5] is not None]
    found = picked(rows, recipe)
    assert found["row_id"].to_list() == [row[0] for row in rows]
    for row, line in zip(rows, found.iter_rows(named=True), strict=True):
        speaks = criteria(row, losses, recipe)
        assert [name for name in CRITERIA if line[name]] == speaks
        scored = row[4] == "model" or row[6] is not None
        because = "+".join(speaks) if line["taken"] else "over_budget" if speaks else "no_criterion" if scored else "not_scored"
        assert line["reason"] == because
        assert speaks or not line["taken"]


@FEW
@given(rows=ROWS, recipe=RECIPES)
def test_the_budget_is_used_and_kept(rows: list, recipe: Seeds) -> None:
    found = picked(lines(rows), recipe)
    raw = found["raw_material"]
    raw_taken = int((found["taken"] & raw).sum())
    assert raw_taken == min(int(raw.sum()), int(recipe.max_seeds * recipe.raw_share))
    candidates = found.filter(pl.any_horizontal(CRITERIA) & ~pl.col("raw_material")).height
    assert int((found["taken"] & ~raw).sum()) == min(candidates, recipe.max_seeds - raw_taken)


@FEW
@given(rows=ROWS, recipe=RECIPES, data=st.data())
def test_neither_order_nor_a_larger_budget_takes_a_seed_away(rows: list, recipe: Seeds, data: st.DataObject) -> None:
    recipe = recipe.model_copy(update={"raw_share": 0.0})
    found = picked(lines(rows), recipe)
    taken = set(found.filter("taken")["row_id"])
    assert set(picked(data.draw(st.permutations(lines(rows))), recipe).filter("taken")["row_id"]) == taken
    larger = [set(picked(lines(rows), recipe.model_copy(update={"max_seeds": n})).filter("taken")["row_id"]) for n in range(6)]
    assert all(fewer <= more for fewer, more in pairwise(larger))


@FEW
@given(sizes=st.dictionaries(st.sampled_from(["law", "research", "other"]), st.integers(1, 8), min_size=1), places=st.integers(0, 20))
def test_the_budget_goes_round_the_abilities(sizes: dict[str, int], places: int) -> None:
    """No ability has two seeds more than another that still had candidates."""
    rows = lines(
        [
            ("conversation", [name, "knowledge questions"], list("abc"), "model", None, None)
            for name, size in sizes.items()
            for _ in range(size)
        ]
    )
    found = picked(rows, Seeds(max_seeds=places, raw_share=0.0, min_labels=3))
    taken = dict.fromkeys(sizes, 0)
    for row, chosen in zip(rows, found["taken"], strict=True):
        taken[row[2][0]] += chosen
    unfinished = [taken[name] for name in sizes if taken[name] < sizes[name]]
    assert not unfinished or max(taken.values()) - min(unfinished) <= 1
