"""A draw is independent of the order of rows, and by weight."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.dsir.drawing import noisy_keys, order
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(100), deadline=None)
SCHEMA = {"row_id": pl.String, "log_weight": pl.Float64, "stratum": pl.Int64, "share": pl.Float64}
SHARES = (0.5, 0.3, 0.2)
ROWS = st.lists(
    st.tuples(st.integers(0, 10**6).map("{:032x}".format), st.none() | st.integers(-3, 3).map(float), st.integers(0, 2)),
    max_size=30, unique_by=lambda row: row[0],
)  # fmt: skip


def frame(rows: list, stage: str = "dsir:math", top_k: bool = False) -> pl.DataFrame:
    """Build rows like `weigh`, with key and order: a row with a weight has a stratum and a share."""
    lines = [
        (row, weight, None if weight is None else place, None if weight is None else SHARES[place])
        for row, weight, place in rows
    ]
    table = pl.DataFrame(lines, schema=SCHEMA, orient="row")
    keyed = table.with_columns(noisy_keys(table, stage, top_k))
    return keyed.with_columns(order(keyed))


def first(table: pl.DataFrame, k: int) -> pl.DataFrame:
    return table.drop_nulls("order").sort("order", "row_id").head(k)


@FEW
@given(rows=ROWS, k=st.integers(0, 30), top_k=st.booleans(), data=st.data())
def test_a_draw_takes_the_largest_keys_and_its_share_of_each_stratum(
    rows: list, k: int, top_k: bool, data: st.DataObject
) -> None:
    """Ties are frequent with `top_k`. The draw does not depend on the order of rows."""
    table = frame(rows, top_k=top_k)
    assert table["order"].is_null().to_list() == [weight is None for _, weight, _ in rows]
    drawn = first(table, k)
    assert first(frame(data.draw(st.permutations(rows)), top_k=top_k), k).equals(drawn)
    assert drawn.height == min(k, sum(weight is not None for _, weight, _ in rows))
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
