"""The contamination report: the share of each benchmark that each source holds."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.decontamination.report import CONTAMINATION, describe_flagged, measure_contamination
from infinity_assets_tests.properties import examples

HIT = {"row_id": pl.String, "source": pl.String, "benchmark": pl.String, "item_id": pl.String, "verdict": pl.String}
ITEMS = pl.DataFrame({"benchmark": ["exam"] * 50 + ["quiz"] * 4}).lazy()


def report(*hits: tuple, copies: tuple = (), flag_above: float = 0.02) -> pl.DataFrame:
    matches = pl.LazyFrame(list(hits), schema=HIT, orient="row")
    others = pl.LazyFrame(list(copies), schema={"row_id": pl.String, "source": pl.String}, orient="row")
    return measure_contamination(matches, others, ITEMS, flag_above)


def test_rows_and_items_are_counted_by_verdict() -> None:
    found = report(
        ("1", "a", "exam", "exam#1", "removes"),
        ("1", "a", "exam", "exam#2", "removes"),
        ("1", "a", "exam", "exam#3", "reported"),
        ("2", "a", "exam", "exam#2", "removes"),
        ("3", "a", "exam", "exam#4", "reported"),
        ("3", "a", "exam", "exam#4", "excused"),
        ("4", "a", "exam", "exam#5", "excused"),
        ("5", "b", "quiz", "quiz#1", "excused"),
    )
    assert found.schema == CONTAMINATION
    assert found.rows() == [("a", "exam", 2, 2, 50, 0.04, True, 1, 1), ("b", "quiz", 0, 0, 4, 0.0, False, 0, 1)]


@pytest.mark.parametrize(("items", "expected"), [(1, False), (2, True)])
def test_a_source_is_flagged_above_the_limit_and_not_at_it(items: int, expected: bool) -> None:
    found = report(*(("1", "a", "exam", f"exam#{n}", "removes") for n in range(items)))
    assert found["flagged"].to_list() == [expected]
    assert [sentence.startswith("a holds 4.0% of exam") for sentence in describe_flagged(found)] == [True] * expected


def test_a_quotation_mark_in_the_name_of_a_source_is_doubled_in_the_query() -> None:
    (sentence,) = describe_flagged(report(("1", "o'brien", "quiz", "quiz#1", "removes")))
    assert sentence.startswith("o'brien holds 25.0% of quiz")
    assert "where source = 'o''brien'\"" in sentence


def test_a_row_lost_as_a_duplicate_counts_for_its_own_source() -> None:
    found = report(("1", "a", "quiz", "quiz#1", "removes"), copies=(("1", "z"), ("9", "y")))
    assert found.select("source", "rows", "share").rows() == [("a", 1, 0.25), ("z", 1, 0.25)]


def test_no_hits_give_an_empty_report() -> None:
    assert report().schema == CONTAMINATION
    assert report().is_empty()
    assert describe_flagged(report()) == []


VERDICTS = st.sampled_from(["removes", "reported", "excused"])
HITS = st.lists(
    st.tuples(st.sampled_from("12345"), st.sampled_from(["exam", "quiz"]), st.sampled_from("abcd"), VERDICTS),
    max_size=20,
)


@settings(max_examples=examples(50), deadline=None)
@given(hits=HITS)
def test_every_row_with_a_hit_is_counted_once_per_benchmark(hits: list) -> None:
    placed = [
        (row, "odd" if int(row) % 2 else "even", benchmark, f"{benchmark}#{item}", verdict)
        for row, benchmark, item, verdict in hits
    ]
    found = report(*placed)
    total = sum(found[column].sum() for column in ("rows", "rows_reported", "rows_excused"))
    assert total == len({(row, benchmark) for row, _, benchmark, *_ in placed})
