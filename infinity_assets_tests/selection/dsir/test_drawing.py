"""A draw is exact over shards, independent of the order of rows, and by weight."""

import math
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.dsir.drawing import candidates, first, noisy_keys, order
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(100), deadline=None)
SCHEMA = {"row_id": pl.String, "log_weight": pl.Float64, "stratum": pl.Int64, "share": pl.Float64}
SHARES = (0.5, 0.3, 0.2)
ROWS = st.lists(
    st.tuples(st.integers(0, 10**6).map("{:032x}".format), st.none() | st.integers(-3, 3).map(float), st.integers(0, 2)),
    max_size=30, unique_by=lambda row: row[0],
)  # fmt: skip


def frame(rows: list, stage: str = "dsir:math", top_k: bool = False) -> pl.DataFrame:
    """Build rows like `weigh`: a row with a weight has a stratum and a share."""
    lines = [
        (row, weight, None if weight is None else place, None if weight is None else SHARES[place])
        for row, weight, place in rows
    ]
    table = pl.DataFrame(lines, schema=SCHEMA, orient="row")
    return table.with_columns(noisy_keys(table, stage, top_k))


@FEW
@given(
    rows=ROWS, k=st.integers(0, 40), top_k=st.booleans(), cuts=st.lists(st.integers(0, 30), max_size=3), data=st.data()
)
def test_drawing_from_candidates_of_parts_equals_drawing_from_the_whole(
    rows: list, k: int, top_k: bool, cuts: list[int], data: st.DataObject
) -> None:
    """This holds for any parts, any order of rows, and ties, which are frequent with `top_k`."""
    shuffled = data.draw(st.permutations(rows))
    edges = [0, *sorted(cuts), len(rows)]
    parts = [frame(shuffled[low:high], top_k=top_k) for low, high in pairwise(edges)]
    kept = [candidates(part, k) for part in parts]
    drawn = first(frame(rows, top_k=top_k), k)
    assert first(pl.concat(kept), k).equals(drawn)
    assert drawn.height == min(k, sum(weight is not None for _, weight, _ in rows))
    assert sum(part.height for part in kept) <= 3 * k * len(parts)


@FEW
@given(rows=ROWS, data=st.data())
def test_the_draw_does_not_depend_on_the_order_of_rows(rows: list, data: st.DataObject) -> None:
    table, other = frame(rows), frame(data.draw(st.permutations(rows)))
    assert dict(zip(table["row_id"], order(table), strict=True)) == dict(
        zip(other["row_id"], order(other), strict=True)
    )
    assert order(table).is_null().to_list() == [weight is None for _, weight, _ in rows]


@FEW
@given(rows=ROWS, k=st.integers(0, 30))
def test_a_draw_takes_the_largest_keys_and_its_share_of_each_stratum(rows: list, k: int) -> None:
    table = frame(rows)
    drawn = first(table, k)
    for place, share in enumerate(SHARES):
        own, taken = (part.filter(pl.col("stratum") == place)["key"].sort(descending=True) for part in (table, drawn))
        assert taken.to_list() == own.head(taken.len()).to_list()
        full = own.len() == taken.len()
        assert full or abs(taken.len() - k * share) <= 3 or taken.len() > k * share  # other strata were exhausted


def test_rows_are_drawn_in_proportion_to_their_weight() -> None:
    """Gumbel noise draws row i first with probability w_i / sum of w."""
    rows = [("heavy", math.log(3), 0), ("light", 0.0, 0)]
    drawn = [first(frame(rows, stage=f"draw {n}"), 1)["row_id"].item() for n in range(600)]
    assert 600 * 0.68 < drawn.count("heavy") < 600 * 0.82  # 0.75 +- 4 standard deviations


def test_without_noise_the_key_is_the_weight() -> None:
    assert frame([("a", 2.0, 0), ("b", None, 1)], top_k=True)["key"].to_list() == [2.0, None]


def test_the_draw_has_the_targets_distribution_of_lengths() -> None:
    rows = [(f"{n:032x}", 0.0, n % 3) for n in range(3000)]
    drawn = first(frame(rows), 900)["stratum"].value_counts().sort("stratum")["count"].to_list()
    assert drawn == pytest.approx([450, 270, 180], abs=1)
