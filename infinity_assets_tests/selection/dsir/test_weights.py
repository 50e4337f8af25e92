"""Weights against a plain loop over strings."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.selection.dsir.weights import (
    NGRAMS,
    PRIOR,
    Counts,
    count,
    fit,
    from_frame,
    stratum,
    to_frame,
    weigh,
)
from infinity_assets.settings.foundation import Dsir
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
VOCABULARY = ("sum", "of", "cat", "7", "数")
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=8)
POOLS = st.lists(WORDS, min_size=1, max_size=6).filter(any)
NO_STRATA = {"length": "none"}


def texts(token_lists: list[list[str]]) -> pl.Series:
    return pl.Series([" ".join(words).upper() for words in token_lists], dtype=pl.String)


def weights(prompts: pl.Series, target: pl.Series, **changes) -> list[float]:
    """Return the log weights, 0 for a prompt without a token."""
    dsir = Dsir.model_validate(NO_STRATA | changes)
    fitted = fit(count(prompts, dsir), count(target, dsir), dsir)
    return weigh(prompts, fitted, dsir)["log_weight"].fill_null(0.0).to_list()


def grams(words: list[str]) -> list:
    return [*words, *pairwise(words)]


def plain(prompts: list[list[str]], target: list[list[str]], smoothing: float) -> list[float]:
    raw, aim = Counter(g for p in prompts for g in grams(p)), Counter(g for t in target for g in grams(t))

    def weight(gram: object) -> float:
        q = raw[gram] / raw.total()
        return math.log((aim[gram] + smoothing * q) / (aim.total() + smoothing) + 1e-8) - math.log(q + 1e-8)

    return [sum(weight(gram) for gram in grams(prompt)) for prompt in prompts]


@FEW
@given(prompts=POOLS, target=POOLS, smoothing=st.sampled_from([0.0, 0.5, 10.0, 1000.0]))
def test_weights_equal_a_plain_loop(prompts: list, target: list, smoothing: float) -> None:
    result = weights(texts(prompts), texts(target), buckets=2**18, smoothing=smoothing)
    assert result == pytest.approx(plain(prompts, target, smoothing), abs=1e-6)


@FEW
@given(parts=st.lists(POOLS, max_size=4), ngram=st.integers(1, 3), strata=st.integers(1, 4), data=st.data())
def test_counts_of_shards_add_up(parts: list, ngram: int, strata: int, data: st.DataObject) -> None:
    dsir = Dsir(ngram=ngram, strata=strata, buckets=97)
    whole = count(texts([prompt for part in parts for prompt in part]), dsir)
    tables = [to_frame({("pool", "math"): count(texts(part), dsir)}) for part in data.draw(st.permutations(parts))]
    merged = from_frame(pl.concat([pl.DataFrame(schema=NGRAMS), *tables]), dsir).get(
        ("pool", "math"), Counts.zeros(dsir)
    )
    assert merged.ngrams.tolist() == whole.ngrams.tolist()
    assert merged.lengths.tolist() == whole.lengths.tolist()


@FEW
@given(tokens=st.lists(st.integers(1, 2**40), min_size=1), strata=st.integers(1, 8))
def test_strata_are_monotonic_and_narrow(tokens: list[int], strata: int) -> None:
    """Strata follow the order of lengths, and lengths in a stratum differ by less than its factor."""
    result = stratum(np.array(sorted(tokens)), Dsir(strata=strata))
    assert (np.diff(result) >= 0).all()
    for place in set(result.tolist()) - {32 * strata - 1}:
        own = np.array(sorted(tokens))[result == place]
        assert own.max() / own.min() < 2 ** (1 / strata) * (1 + 1e-12)


@FEW
@given(prompts=POOLS, target=POOLS, length=st.sampled_from(["target", "pool", "none"]))
def test_shares_of_strata_follow_the_target_or_the_pool(prompts: list, target: list, length: str) -> None:
    dsir = Dsir.model_validate({"length": length})
    pool = count(texts(prompts), dsir)
    result = weigh(texts(prompts), fit(pool, count(texts(target), dsir), dsir), dsir)
    lengths = [len(prompt) for prompt in prompts]
    assert result["prompt_tokens"].to_list() == lengths
    empty = [not words for words in prompts]
    assert all(result[name].is_null().to_list() == empty for name in ("log_weight", "stratum", "share"))
    if length == "none":
        assert set(result.drop_nulls()["share"]) == {1.0}
        return
    own = [n for n in lengths if n]

    def place(n: int) -> int:
        return int(stratum(np.array([n]), dsir)[0])

    aims = [len(t) for t in target if t]
    for tokens, share in result.drop_nulls().select("prompt_tokens", "share").iter_rows():
        of_pool = sum(place(n) == place(tokens) for n in own) / len(own)
        of_target = sum(place(n) == place(tokens) for n in aims)
        assert share == pytest.approx(
            of_pool if length == "pool" else (of_target + PRIOR * of_pool) / (len(aims) + PRIOR)
        )
