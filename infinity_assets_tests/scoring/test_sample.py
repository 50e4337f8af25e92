"""The sample of rows to score must be stable: a larger one adds rows and never replaces any."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.sample import match_stand_ins, take, take_stratified
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(50), deadline=None)
IDS = st.lists(st.integers(0, 10_000).map("{:032x}".format), unique=True, max_size=20)


def taken(ids: list[str], max_rows: int, shards: int) -> list[str]:
    return take(pl.DataFrame({"row_id": pl.Series(ids, dtype=pl.String)}), max_rows, shards)["row_id"].to_list()


@FEW
@given(ids=IDS, max_rows=st.integers(1, 60), shards=st.integers(1, 4))
def test_a_shard_takes_its_share_of_the_sample_in_any_order(ids: list[str], max_rows: int, shards: int) -> None:
    sample = taken(ids, max_rows, shards)
    assert len(sample) == min(len(ids), max_rows // shards)
    assert set(sample) <= set(ids)
    assert sorted(sample) == sorted(taken(ids[::-1], max_rows, shards))


@FEW
@given(ids=IDS, small=st.integers(1, 40), more=st.integers(0, 40), shards=st.integers(1, 4))
def test_a_larger_sample_contains_the_smaller_one(ids: list[str], small: int, more: int, shards: int) -> None:
    assert set(taken(ids, small, shards)) <= set(taken(ids, small + more, shards))


@FEW
@given(ids=IDS)
def test_size_zero_takes_all_rows(ids: list[str]) -> None:
    assert taken(ids, 0, 4) == ids


KINDS = st.sampled_from(["conversation", "text"])
ROWS = st.lists(st.tuples(KINDS, st.sampled_from(["en", "zh", "de"]), st.integers(0, 500)), min_size=1, max_size=60)


def described(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    ids = pl.Series("row_id", [f"{number:032x}" for number in range(len(rows))])
    return pl.DataFrame(rows, schema=["kind", "language", "length"], orient="row").with_columns(ids)


@FEW
@given(rows=ROWS, size=st.integers(1, 70))
def test_every_stratum_has_its_share(rows: list[tuple[str, str, int]], size: int) -> None:
    frame = described(rows)
    sample = take_stratified(frame, size)
    assert sample.height == min(size, frame.height)
    assert sample["row_id"].is_in(frame["row_id"].implode()).all()
    assert sample["row_id"].is_unique().all()
    held, wanted = (f.group_by("kind", "language").len() for f in (sample, frame))
    shares = wanted.join(held, on=["kind", "language"], how="left").with_columns(pl.col("len_right").fill_null(0))
    exact = shares["len"] * sample.height / frame.height
    assert ((shares["len_right"] - exact).abs() <= 1).all()


@FEW
@given(rows=ROWS, size=st.integers(1, 70))
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[str, str, int]], size: int) -> None:
    frame = described(rows)
    assert set(take_stratified(frame, size)["row_id"]) == set(take_stratified(frame[::-1], size)["row_id"])


@FEW
@given(rows=ROWS, known=ROWS)
def test_a_stand_in_is_nearest_in_length_of_the_same_kind_and_language_if_possible(
    rows: list[tuple[str, str, int]], known: list[tuple[str, str, int]]
) -> None:
    for (kind, language, length), other in zip(rows, match_stand_ins(described(rows), described(known)), strict=True):
        alike = [number for number, row in enumerate(known) if row[:2] == (kind, language)] or range(len(known))
        nearest = min(abs(known[number][2] - length) for number in alike)
        assert int(other, 16) in alike
        assert abs(known[int(other, 16)][2] - length) == nearest
