"""Semantic de-duplication: the contents that are judged, the pairs that are close, and sources that are added later."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from infinity_assets.dedup import semantic
from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.inference.engines.embedder import Reading
from infinity_assets.settings import Near
from infinity_assets_tests.dedup.test_fingerprints import talk
from infinity_assets_tests.frames import pool
from infinity_assets_tests.properties import examples


class Words:
    """An embedder that counts letters, reads ten words, and does not know words in capitals."""

    width = 26

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        counts = np.array(
            [[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32
        )
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    def read(self, texts: Sequence[str]) -> Reading:
        words = [text.split() for text in texts]
        unknown = [sum(word.isupper() for word in mine) / max(len(mine), 1) for mine in words]
        return Reading(np.array([len(mine) > 10 for mine in words], bool), np.array(unknown, np.float32))


def contents(*rows: tuple[str, str]) -> pl.DataFrame:
    frame = pool(*(("s", "f", place, talk(*row)) for place, row in enumerate(rows)))
    return semantic.extract_texts(frame.lazy(), fingerprint(frame, Near()).lazy()).collect()


def test_every_content_is_listed_once_in_the_order_of_the_rows() -> None:
    got = contents(("what is tuff", "a rock"), ("why", "because"), ("What  is TUFF", "a rock"))
    assert got.height == 2
    assert [" ".join(prompt.lower().split()) for prompt in got["prompt"]] in (
        ["what is tuff", "why"],
        ["why", "what is tuff"],
    )


def test_equal_texts_are_embedded_once_and_unreadable_texts_are_not_judged() -> None:
    encoder: Any = Words()
    long = " ".join(["word"] * 11)
    got = semantic.embed(
        contents(("a question", "an answer"), ("a question", ""), ("SHOUTED", "an answer"), (long, "b"), ("c", "LOUD")),
        encoder,
        0.1,
    )
    assert sorted(encoder.seen) == sorted(["a question", "an answer", long, "c"])
    judged = got["answer"].is_not_null().to_list()
    assert judged == [True, True, False, False, False]
    assert got["facts"].is_not_null().to_list() == judged
    assert got["prompt"].is_not_null().to_list() == [True, True, False, True, True]
    assert got["cut"].to_list() == [False, False, False, True, False]
    assert got["answer"][1].to_list() == got["prompt"][1].to_list()
    assert got.schema == semantic.embedding_schema(26)


def test_no_contents_have_no_vectors() -> None:
    encoder: Any = Words()
    empty = semantic.embed(contents(("a", "b")).clear(), encoder, 0.1)
    assert (empty.height, empty.schema) == (0, semantic.embedding_schema(26))


LONG = "An answer that is too long to be a fact."


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Add 3 and 4.", LONG), ("Add 3 and 5.", LONG), False),
        (("Add 3 and 4.", LONG), ("Please add 3 and 4.", "The sum of both is nice to have."), True),
        (("Name three rivers.", LONG), ("Name four rivers.", LONG), False),
        (("What is healthy?", LONG), ("What is not healthy?", LONG), False),
        (("这三种食物健康吗", LONG), ("这三种食物不健康吗", LONG), False),
        (("写三个句子", LONG), ("写五个句子", LONG), False),
        (("Is snow white?", "Yes."), ("Is the snow white?", "No."), False),
        (("Is snow white?", "Yes."), ("Is the snow white?", "yes"), True),
        (("Is snow white?", "Yes."), ("Is the snow white?", ""), False),
        (("Shout it.", "HELLO"), ("Please shout it.", "hello"), False),
        (("Simplify it.", "x²"), ("Please simplify it.", "x2"), False),
    ],
)
def test_facts_distinguish_contents_that_vectors_cannot(
    one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    facts = pl.concat([contents(one), contents(other)]).select(semantic.extract_facts()).to_series()
    assert (facts[0] == facts[1]) is same


def vectors(points: list[tuple[int, ...]], hashes: list[int]) -> pl.DataFrame:
    vector = pl.Series([[float(x) for x in point] for point in points], dtype=pl.Array(pl.Float16, 3))
    texts = {
        "content_hash": [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}" for number in hashes],
        "facts": [str(number % 7 == 0) for number in hashes],
    }
    frame = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String)).with_columns(prompt=vector, answer=vector)
    return frame.sort("content_hash")


POINTS = st.lists(st.tuples(*[st.integers(1, 9)] * 3), min_size=0, max_size=30)


@settings(max_examples=examples(150), deadline=None)
@given(points=POINTS, data=st.data(), most=st.integers(1, 5), facts=st.booleans())
def test_contents_that_come_later_give_the_same_pairs_as_all_at_once(
    points: list, data: st.DataObject, most: int, facts: bool
) -> None:
    """Contents come, go and change. Few pairs per content are kept, so that a weaker pair replaces a lost one."""
    options = {"floor": 0.97, "most": most, "facts": facts, "exact_up_to": 100}
    states = data.draw(
        st.lists(st.sampled_from(["old", "new", "gone", "changed"]), min_size=len(points), max_size=len(points))
    )
    numbers = list(range(len(points)))
    before = [i for i in numbers if states[i] != "new"]
    after = [i for i in numbers if states[i] != "gone"]
    moved = [point[::-1] if state == "changed" else point for point, state in zip(points, states, strict=True)]
    known = semantic.find_neighbours(vectors([points[i] for i in before], before), **options)
    current = vectors([moved[i] for i in after], after)
    tail = current["content_hash"].str.slice(16).str.to_integer(base=16)
    fresh = tail.is_in([i for i in numbers if states[i] in ("new", "changed")])
    assert_frame_equal(
        semantic.find_neighbours(current, **options, known=known, fresh=fresh),
        semantic.find_neighbours(current, **options),
        check_exact=True,
    )


@settings(max_examples=examples(60), deadline=None)
@given(points=POINTS, threshold=st.sampled_from([0.97, 0.99]))
def test_the_number_of_losers_matches_a_walk_over_the_pairs(points: list, threshold: float) -> None:
    pairs = semantic.find_neighbours(vectors(points, list(range(len(points)))), 0.97, 100, facts=False, exact_up_to=100)
    close = {(a, b) for a, b, s in pairs.iter_rows() if s >= threshold}
    gone: set[str] = set()
    for content in sorted({end for pair in close for end in pair}):
        if any(b == content and a not in gone for a, b in close):
            gone.add(content)
    assert semantic.count_losers(pairs, threshold) == len(gone)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_contents_have_no_neighbors(rows: int) -> None:
    pairs = semantic.find_neighbours(vectors([(1, 2, 3)] * rows, list(range(rows))), 0.8, 5, facts=True, exact_up_to=10)
    assert (pairs.height, pairs.schema) == (0, semantic.PAIRS)
    assert semantic.count_losers(pairs, 0.8) == 0


def test_one_of_equal_rows_stays() -> None:
    pairs = semantic.find_neighbours(vectors([(1, 2, 3)] * 20, list(range(20))), 0.8, 64, facts=False, exact_up_to=99)
    assert pairs.height == 190
    assert set(pairs["similarity"]) == {1.0}
    assert semantic.count_losers(pairs, 1.0) == 19
