"""What near-duplicates are judged by must itself be right: the benchmark's fast truth is held against plain Python."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets_tests.benchmarks.deduplicate import THRESHOLD, altered, answers_alike, true_pairs
from infinity_assets_tests.dedup.brute_force import similar_pairs
from infinity_assets_tests.frames import conversations

WORDS = st.lists(st.sampled_from(["a", "b", "c", "1", "你", "好", "é", "।"]), max_size=12).map(" ".join)
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=20)), min_size=1, max_size=10)
FEW = settings(max_examples=80, deadline=None)


@FEW
@given(texts=TEXTS)
def test_the_pairs_are_those_of_plain_python(texts: list[str]) -> None:
    a, b, similarity = true_pairs(pl.Series("text", texts, dtype=pl.String))
    assert dict(zip(zip(a.tolist(), b.tolist(), strict=True), similarity.tolist(), strict=True)) == similar_pairs(texts, THRESHOLD)


@FEW
@given(texts=TEXTS.map(lambda texts: [text for text in texts if text.isascii()]))
def test_an_altered_copy_has_the_same_pairs_and_none_with_the_originals(texts: list[str]) -> None:
    rows = pl.DataFrame([conversations(*([("user", text)] for text in texts))])
    copy = altered(rows)["messages"].list.first().struct.field("content").to_list()
    pairs, count = similar_pairs(texts, THRESHOLD), len(texts)
    turned = {(i + count, j + count): similarity for (i, j), similarity in pairs.items()}
    assert similar_pairs(texts + copy, THRESHOLD) == pairs | turned


def test_pairs_whose_answers_differ_are_told_apart() -> None:
    passage = "The river rises in the hills and reaches the sea after nine days on foot."
    long = "It rises in the hills north of the old town."
    turns = [
        (passage, "The hills"),
        (passage + " ", "The sea"),
        (passage, "the hills."),
        (passage, long),
        (passage, long + " Yes."),
        (passage, ""),
    ]
    rows = pl.DataFrame([conversations(*([("user", question), ("assistant", answer)] for question, answer in turns))])
    first, second = [0, 0, 3, 3, 5], [1, 2, 4, 0, 5]
    alike = answers_alike(rows, pl.Series(first).to_numpy(), pl.Series(second).to_numpy())
    assert alike.tolist() == [False, True, True, False, True]
