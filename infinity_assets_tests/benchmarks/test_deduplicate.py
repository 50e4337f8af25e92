"""The benchmark's fast truth about near-duplicates agrees with plain Python."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.settings import Near
from infinity_assets_tests.benchmarks import near_truth
from infinity_assets_tests.benchmarks.deduplicate import altered
from infinity_assets_tests.benchmarks.near_truth import TruePairs, greedy, sets_of, true_pairs
from infinity_assets_tests.dedup.brute_force import jaccard, shingles, similar_pairs
from infinity_assets_tests.dedup.test_duplicates import alike
from infinity_assets_tests.frames import Turns, conversations
from infinity_assets_tests.properties import examples

RULE = Near()
WORDS = st.lists(st.sampled_from(["a", "b", "c", "1", "你", "好", "é", "।"]), max_size=12).map(" ".join)
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=20)), min_size=1, max_size=10)
CONTENTS = st.one_of(st.sampled_from(["a b c a b c", "a b c a b c a", "你好你好你好"]), WORDS)
ROWS = st.lists(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), CONTENTS), max_size=4), min_size=1, max_size=10
)
FEW = settings(max_examples=examples(80), deadline=None)


def found(rows: list[Turns]) -> TruePairs:
    return true_pairs(sets_of(pl.DataFrame([conversations(*rows)]), RULE.shingle), RULE.threshold)


@FEW
@given(rows=ROWS)
def test_pairs_agree_with_plain_python(rows: list[Turns]) -> None:
    spoken = [[(role, text) for role, text in turns if role != "system"] for turns in rows]
    sets = [frozenset().union(*shingles([text for _, text in turns])) for turns in spoken]
    pairs = found(rows)
    similarities = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(rows)), 2)}
    expected = [(*pair, similarity) for pair, similarity in similarities.items() if similarity >= 0.7]
    assert list(zip(*(column.tolist() for column in pairs[:3]), strict=True)) == expected
    for i, j, answers in zip(pairs.first, pairs.second, pairs.answers, strict=True):
        assert (answers >= RULE.threshold) == alike(spoken[i], spoken[j], RULE)


@FEW
@given(rows=ROWS)
def test_the_block_size_does_not_change_the_pairs(rows: list[Turns]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = found(rows)
        patch.setattr(near_truth, "blocks", lambda count, _: (slice(i, i + 1) for i in range(count)))
        assert all(np.array_equal(one, other) for one, other in zip(whole, found(rows), strict=True))


@FEW
@given(pairs=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1])))
def test_the_exact_rule_drops_a_row_exactly_if_a_remaining_earlier_row_is_similar(
    pairs: set[tuple[int, int]],
) -> None:
    first, second = np.array(sorted(pairs), np.int32).reshape(-1, 2).T
    lost = greedy(TruePairs(first, second, np.ones(len(pairs)), np.ones(len(pairs))), 8)
    assert set(np.flatnonzero(lost)) == set(second[~lost[first]])


@FEW
@given(texts=TEXTS.map(lambda texts: [text for text in texts if text.isascii()]))
def test_an_altered_copy_has_the_same_pairs_but_no_pair_with_the_originals(texts: list[str]) -> None:
    rows = pl.DataFrame([conversations(*([("user", text)] for text in texts))])
    copy = altered(rows)["messages"].list.first().struct.field("content").to_list()
    pairs, count = similar_pairs(texts, RULE.threshold), len(texts)
    turned = {(i + count, j + count): similarity for (i, j), similarity in pairs.items()}
    assert similar_pairs(texts + copy, RULE.threshold) == pairs | turned
