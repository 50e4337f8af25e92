"""DSIR against a plain loop over strings."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.dsir import gumbel_rank, log_weights

FEW = settings(max_examples=50, deadline=None)
VOCABULARY = ("sum", "of", "cat", "7", "数")
BUCKETS = 1_000_003  # enough that no two of the vocabulary's 5 + 25 n-grams share one
TOKENS = st.lists(st.sampled_from(VOCABULARY), max_size=8)


def texts(token_lists: list[list[str]]) -> pl.Series:
    return pl.Series([" ".join(tokens).upper() for tokens in token_lists], dtype=pl.String)


def grams(tokens: list[str]) -> list:
    return [*tokens, *pairwise(tokens)]


def plain(prompts: list[list[str]], target: list[list[str]], smoothing: float) -> list[float]:
    raw, aim = Counter(g for p in prompts for g in grams(p)), Counter(g for t in target for g in grams(t))

    def weight(gram: object) -> float:
        q = raw[gram] / raw.total()
        return math.log((aim[gram] + smoothing * q) / (aim.total() + smoothing)) - math.log(q)

    return [sum(weight(gram) for gram in grams(prompt)) for prompt in prompts]


@FEW
@given(prompts=st.lists(TOKENS, max_size=6), target=st.lists(TOKENS, max_size=4), smoothing=st.sampled_from([0.5, 10.0, 1000.0]))
def test_weights_are_those_of_a_plain_loop(prompts: list, target: list, smoothing: float) -> None:
    weights = log_weights(texts(prompts), texts(target), BUCKETS, smoothing)
    assert weights.tolist() == pytest.approx(plain(prompts, target, smoothing), abs=1e-9)


@FEW
@given(prompts=st.lists(TOKENS, min_size=1, max_size=6), buckets=st.integers(1, 50))
def test_a_target_like_the_pool_favours_nothing(prompts: list, buckets: int) -> None:
    weights = log_weights(texts(prompts), texts(prompts), buckets, smoothing=5.0)
    assert weights == pytest.approx(np.zeros(len(prompts)), abs=1e-9)


ROWS = st.lists(
    st.tuples(st.integers(0, 10**6).map("{:032x}".format), st.integers(0, 6), st.floats(-20, 20)),
    min_size=1, max_size=25, unique_by=lambda row: row[0],
)  # fmt: skip


def ranks(rows: list, stage: str = "dsir:math", strata: int = 5) -> dict[str, float]:
    ids, lengths, weights = zip(*rows, strict=True)
    prompts = pl.Series([" ".join(["word"] * length) for length in lengths], dtype=pl.String)
    return dict(zip(ids, gumbel_rank(np.array(weights), prompts, pl.Series(ids), stage, strata), strict=True))


@FEW
@given(rows=ROWS, strata=st.integers(1, 6), data=st.data())
def test_the_draw_depends_on_no_order_and_takes_of_every_length_alike(rows: list, strata: int, data: st.DataObject) -> None:
    drawn = ranks(rows, strata=strata)
    assert ranks(data.draw(st.permutations(rows)), strata=strata) == drawn
    ordered = [drawn[row] for row, *_ in sorted(rows, key=lambda row: (row[1], row[0]))]
    places = [n * strata // len(rows) for n in range(len(rows))]
    for stratum in set(places):
        own = sorted(rank for rank, place in zip(ordered, places, strict=True) if place == stratum)
        assert own == pytest.approx([(n + 1) / len(own) for n in range(len(own))])


def test_heavier_rows_are_drawn_more_often_in_proportion() -> None:
    """Gumbel noise draws row i first with probability w_i / sum of w."""
    rows = [("heavy", 1, math.log(3)), ("light", 1, 0.0)]
    first = sum(ranks(rows, stage=f"draw {n}", strata=1)["heavy"] == 0.5 for n in range(600))
    assert 600 * 0.68 < first < 600 * 0.82  # 0.75, 4 standard deviations either side
