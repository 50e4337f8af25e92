"""Votes of neighbours against a plain count in Python."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.scoring.spread import Labelled, agreement, neighbours, vote
from infinity_assets.settings.foundation import Labels
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
WIDTH = 8


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def labelled(vectors: np.ndarray, fine: list[list[str]]) -> Labelled:
    lists = {"ability": fine, "cate_ability": [[label[:1] for label in row] for row in fine]}
    labels = pl.DataFrame(lists, schema=dict.fromkeys(lists, pl.List(pl.String)))
    return Labelled(vectors, np.arange(len(vectors), dtype=np.uint64), labels)


@pytest.mark.parametrize("exact_up_to", [1000, 1])
def test_neighbours_are_the_nearest_rows(exact_up_to: int) -> None:
    known = unit(200)
    queries = unit(40, seed=1)
    nearby = neighbours(queries, labelled(known, [[]] * 200), 0.5, 5, exact_up_to)
    cosines = queries.astype(np.float64) @ known.astype(np.float64).T
    for query in range(len(queries)):
        best = [row for row in np.argsort(-cosines[query], kind="stable")[:5] if cosines[query, row] >= 0.5]
        assert nearby.filter(pl.col("query") == query)["row"].to_list() == best


def test_without_queries_or_rows_there_are_no_neighbours() -> None:
    assert neighbours(unit(0), labelled(unit(3), [[]] * 3), 0.5, 5, 10).is_empty()
    assert neighbours(unit(3), labelled(unit(0), []), 0.5, 5, 10).is_empty()


@FEW
@given(
    near=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([0.5, 0.75, 1.0])),
        unique_by=lambda line: line[:2],
        max_size=12,
    ),
    lists=st.lists(st.lists(st.sampled_from("abcd"), unique=True, max_size=3), min_size=5, max_size=5),
    share=st.sampled_from([0.3, 0.5, 1.0]),
)
def test_a_label_with_enough_votes_wins(near: list, lists: list[list[str]], share: float) -> None:
    nearby = pl.DataFrame(near, schema={"query": pl.Int64, "row": pl.Int64, "similarity": pl.Float32}, orient="row")
    series = pl.Series(lists, dtype=pl.List(pl.String))
    winners = dict(vote(nearby, series, share).iter_rows())
    for query in {line[0] for line in near}:
        votes = [(row, weight) for at, row, weight in near if at == query]
        total = sum(weight for _, weight in votes)
        weights = {label: sum(weight for row, weight in votes if label in lists[row]) for label in "abcd"}
        enough = [label for label in "abcd" if 0 < weights[label] >= share * total - 1e-6]
        won = sorted(enough, key=lambda label: (-weights[label], label))
        assert winners.get(query, []) == won
        first = dict(vote(nearby, series, share, most=1).iter_rows())
        assert first.get(query, []) == won[:1]
    shuffled = nearby.sample(fraction=1.0, shuffle=True, seed=len(near))
    assert vote(shuffled, series, share).sort("query").equals(vote(nearby, series, share).sort("query"))


def test_agreement_is_reported_by_band() -> None:
    """Two tight groups, one with equal labels and one with different labels. A lone row gets no labels."""
    group = np.zeros((7, WIDTH), np.float16)
    group[:3, 0] = 1
    group[3:6, 1] = 1
    group[6, 2] = 1
    fine = [["law"], ["law"], ["law"], ["x1"], ["x2"], ["x3"], ["law"]]
    table = agreement(labelled(group, fine), Labels(neighbours=2, vote=0.6), most=3)
    line = {name: table.filter(pl.col("from") == name).row(0, named=True) for name in table["from"]}
    shown = [line["0.9"][name] for name in ("rows", "labelled", "fine precision", "fine recall", "coarse recall")]
    assert shown == [6, 1.0, 1.0, 0.5, 1.0], "three rows that disagree give no labels"
    assert (line["0.3"]["rows"], line["most frequent"]["rows"]) == (0, 7)


def test_agreement_leaves_a_row_out_of_its_own_vote() -> None:
    vectors = np.eye(WIDTH, dtype=np.float16)[:4]
    table = agreement(labelled(vectors, [["a"], ["b"], ["c"], ["d"]]), Labels(), most=3)
    assert table.filter(pl.col("from") != "most frequent")["rows"].sum() == 0
