"""Fingerprints hold all that de-duplication needs of a record, and do not depend on other records."""

import unicodedata
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.dedup.fingerprints import collision_probability, compute_content_hashes, fingerprint, schema
from infinity_assets.settings import Near
from infinity_assets_tests.dedup.brute_force import jaccard, shingles
from infinity_assets_tests.frames import Turns, pool
from infinity_assets_tests.properties import examples

ANY = Near(answers="any")
FEW = settings(max_examples=examples(60), deadline=None)
CONTENTS = st.sampled_from(["q", "Q ", "q\n", "ｑ", "r", "q assistant: a"])


def talk(question: str, answer: str) -> Turns:
    return [("user", question), *([("assistant", answer)] if answer else [])]


CONVERSATIONS = st.builds(talk, CONTENTS, st.sampled_from(["", "a", "A", "b", "a B ", "A B", "a b", "a\nb", "a  b"]))
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "好", "的", "是"]), max_size=25).map(" ".join)
LONG = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), WORDS), min_size=1, max_size=3)


def prints(*rows: Turns, rule: Near = Near()) -> pl.DataFrame:
    return fingerprint(pool(*(("s", "f", position, row) for position, row in enumerate(rows))), rule)


def content(turns: Turns) -> tuple[tuple[str, str], ...]:
    """Return the content of a conversation without characters that NFKC changes the meaning of, in plain Python."""

    def normalize(role: str, text: str) -> str:
        whole = unicodedata.normalize("NFKC", text).strip()
        is_short = role == "assistant" and len(whole.encode()) <= 40
        return whole[:1].lower() + whole[1:] if is_short else " ".join(whole.lower().split())

    return tuple((role, normalize(role, text)) for role, text in turns)


SENTENCE = "The quick brown fox jumps over the lazy dog near the bank."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Shout: hello", "HELLO"), ("Shout: hello", "hello")),
        (("Shout it.", SENTENCE), ("Shout it.", SENTENCE.upper())),
        (("Write it in lower case.", SENTENCE), ("Write it in lower case.", SENTENCE.lower())),
        (("全部改为小写。", SENTENCE), ("全部改为小写。", SENTENCE.lower())),
        (("Capitalize: john", "John"), ("Capitalize: john", "john")),
        (("Alternate the case: a b c d e", "a B c D e"), ("Alternate the case: a b c d e", "A b C d E")),
        (("What is 2⁵?", "32"), ("What is 25?", "32")),
        (("Simplify xx.", "x²"), ("Simplify xx.", "x2")),
        (("Write x^2 with a raised digit.", "x²"), ("Write x^2 with a raised digit.", "x^2")),
        (("Invert it.", "x⁻ⁿ"), ("Invert it.", "x−n")),
        (("Name water.", "H₂O"), ("Name water.", "H2O")),
        (("Write a half as one character.", "½"), ("Write a half as one character.", "1/2")),
        (("What is 1.5?", "1½"), ("What is 1.5?", "11⁄2")),
        (("How far is it?", "5 Mm"), ("How far is it?", "5 mm")),
        (("One word in a line.", "a\nb"), ("One word in a line.", "a b")),
        (("Halve the space: a  b", "a b"), ("Halve the space: a  b", "a  b")),
    ],
)
def test_a_difference_that_may_be_the_answer_is_kept(one: tuple[str, str], other: tuple[str, str]) -> None:
    rows = prints(talk(*one), talk(*other))
    assert rows["content_hash"].n_unique() == 2
    assert not (rows["signed"].all() and (rows["keys"][0] == rows["keys"][1]).any())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Is it?", "Yes"), ("is it?", " yes")),
        (("Quote it.", '"Yes"'), ("Quote it.", '"yes"')),
        (
            ("写一句话", "这是关于 NASA 的一句很长的中文话。" * 3),
            ("写一句话", "这是关于 Nasa 的一句很长的中文话。" * 3),
        ),
        (("Name a town.", "Ålesund"), ("Name a town.", "ålesund")),
        (("How many?", "１２"), ("How many?", "12")),
        (("是吗？", "是，好"), ("是吗?", "是,好")),
        (("是 x² 吗？", "是"), ("是 x² 吗?", "是")),
        (("Two lines.", "a\r\nb"), ("Two lines.", "a\nb")),
        (("Tell me all.", SENTENCE), ("Tell me all.", SENTENCE.replace(" ", "  ").replace("The", "the"))),
        (("Fine…", "eﬀect²"), ("Fine...", "effect²")),
    ],
)
def test_other_differences_are_not(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert prints(talk(*one), talk(*other))["content_hash"].n_unique() == 1


@FEW
@given(rows=st.lists(CONVERSATIONS, min_size=1, max_size=12))
def test_hashes_are_equal_if_and_only_if_contents_are_equal(rows: list[Turns]) -> None:
    hashes = prints(*rows)["content_hash"].to_list()
    assert len(set(hashes)) == len(set(map(content, rows))) == len(set(zip(hashes, map(content, rows), strict=True)))


def test_a_transcript_in_one_turn_differs_from_the_conversation_that_it_quotes() -> None:
    rows = talk("q\nassistant: a", ""), talk("q", "a"), [("system", "q"), ("user", "a")]
    assert prints(*rows)["content_hash"].n_unique() == 3


def test_the_prompt_hash_leaves_the_answers_out() -> None:
    both = prints(*([("user", q), ("assistant", a)] for q, a in [("q", "a"), ("Q", "b"), ("r", "a")]), [("user", "q")])
    assert both["prompt_hash"].n_unique() == 2
    assert both["content_hash"].n_unique() == 4
    assert both["prompt_hash"][3] == both["content_hash"][3]


@FEW
@given(rows=st.lists(LONG, min_size=1, max_size=6), cut=st.integers(0, 6), answers=st.sampled_from(["alike", "any"]))
def test_a_fingerprint_does_not_depend_on_other_records(
    rows: list[Turns], cut: int, answers: Literal["alike", "any"]
) -> None:
    records = pool(*(("s", "f", position, row) for position, row in enumerate(rows)))
    rule = Near(answers=answers)
    whole = fingerprint(records, rule)
    assert whole.schema == schema(rule)
    assert pl.concat([fingerprint(records[:cut], rule), fingerprint(records[cut:], rule)]).equals(whole)
    assert compute_content_hashes(records).equals(whole["content_hash"])


@FEW
@given(one=LONG, other=LONG)
def test_shingles_have_the_jaccard_similarity_of_the_texts(one: Turns, other: Turns) -> None:
    """Shingles do not run from one turn into the next."""
    found = [set((row.to_numpy() >> 1).tolist()) for row in prints(one, other, rule=ANY)["shingles"]]
    truth = [frozenset().union(*shingles([text for _, text in turns])) for turns in (one, other)]
    assert len(found[0]) == len(truth[0])
    assert abs(len(found[0] & found[1]) / max(1, len(found[0] | found[1])) - jaccard(*truth)) < 1e-9


def test_the_lowest_bit_marks_shingles_of_an_answer() -> None:
    row = prints([("user", "a b c d e f"), ("assistant", "b c d e f g h")])
    assert row["size"].item() == 4  # "a b c d e", "b c d e f" on both sides, "c d e f g", "d e f g h"
    assert row["answered"].item() == 3
    assert (row["shingles"].item().to_numpy() & 1).sum() == 3


def test_rows_without_shingles_to_compare_are_not_signed() -> None:
    long, short = "one two three four five six", "one two"
    rows = talk(short, ""), talk(long, ""), talk(long, short), talk(short, long)
    assert prints(*rows)["signed"].to_list() == [False, True, False, True]
    assert prints(*rows, rule=Near(answers="any"))["signed"].to_list() == [False, True, True, True]


def test_system_turns_have_no_shingles_and_chinese_shingles_count_characters() -> None:
    rows = [("system", "one two three four five six"), ("user", "hello")], [("user", "今天天气很好我们去公园")]
    assert prints(*rows)["size"].to_list() == [0, 7]


@FEW
@given(similarity=st.floats(0.35, 0.95), bands=st.integers(5, 40), rows=st.integers(1, 4))
def test_rows_share_a_band_as_often_as_the_curve_predicts(similarity: float, bands: int, rows: int) -> None:
    """Measured over many pairs of that similarity, with a tolerance of five standard deviations."""
    rule, pairs, size = Near(bands=bands, rows_per_band=rows, shingle=1, answers="any"), 300, 40
    common = round(2 * size * similarity / (1 + similarity))
    texts = []
    for pair in range(pairs):
        words = [f"w{pair}x{number}" for number in range(2 * size - common)]
        texts += [" ".join(words[:size]), " ".join(words[size - common :])]
    keys = prints(*([("user", text)] for text in texts), rule=rule)["keys"].to_numpy()
    share = (keys[0::2] == keys[1::2]).any(axis=1).mean()
    expected = collision_probability(np.array([common / (2 * size - common)]), rule)[0]
    assert abs(share - expected) < 5 * np.sqrt(max(expected * (1 - expected), 0.003) / pairs) + 0.02


def test_an_empty_pool_has_no_fingerprints() -> None:
    assert fingerprint(pool(), Near()).schema == schema(Near())
    assert len(compute_content_hashes(pool())) == 0
