"""The sample decides which rows are ever scored: it must be stable, so that raising it scores more rows and never other ones."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.sample import take

FEW = settings(max_examples=50, deadline=None)
IDS = st.lists(st.integers(0, 10_000).map("{:032x}".format), unique=True, max_size=20)


def taken(ids: list[str], max_rows: int, shards: int) -> list[str]:
    return take(pl.DataFrame({"row_id": pl.Series(ids, dtype=pl.String)}), max_rows, shards)["row_id"].to_list()


@FEW
@given(ids=IDS, max_rows=st.integers(1, 60), shards=st.integers(1, 4))
def test_it_has_a_share_of_the_size_and_depends_on_no_order(ids: list[str], max_rows: int, shards: int) -> None:
    sample = taken(ids, max_rows, shards)
    assert len(sample) == min(len(ids), max_rows // shards)
    assert set(sample) <= set(ids)
    assert sorted(sample) == sorted(taken(ids[::-1], max_rows, shards))


@FEW
@given(ids=IDS, small=st.integers(1, 40), more=st.integers(0, 40), shards=st.integers(1, 4))
def test_a_larger_sample_holds_the_smaller_one(ids: list[str], small: int, more: int, shards: int) -> None:
    assert set(taken(ids, small, shards)) <= set(taken(ids, small + more, shards))


@FEW
@given(ids=IDS)
def test_zero_means_all(ids: list[str]) -> None:
    assert taken(ids, 0, 4) == ids
