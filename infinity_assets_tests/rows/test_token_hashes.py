"""The compiled tokens are those of `rows.text.tokens`, in every script."""

import unicodedata

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.character_classes import SEPARATOR
from infinity_assets.rows.text import tokens
from infinity_assets.rows.token_hashes import TokenHashes, characters, compatible, token_hashes
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(150), deadline=None)
TEXTS = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_characters="Σςİ", exclude_categories=["Cs"]), max_size=30),
        st.text(alphabet="aAbZ09 .,-'\n好是가ｱไ٣éÉﬁ½²", max_size=30),
    ),
    max_size=6,
)


def spelled(found: TokenHashes) -> list[list[str]]:
    """The tokens as they stand in the texts."""
    words = []
    for number, text in enumerate(found.texts):
        data = text.encode()
        places = range(found.offsets[number], found.offsets[number + 1])
        words.append([data[found.starts[p] : found.ends[p]].decode() for p in places])
    return words


@FEW
@given(texts=TEXTS)
def test_the_tokens_are_those_of_the_expression(texts: list[str]) -> None:
    series = pl.Series("text", texts, dtype=pl.String)
    expected = series.to_frame().select(tokens(pl.col("text"))).to_series().to_list()
    assert [[word.lower() for word in text] for text in spelled(token_hashes(series))] == expected


@FEW
@given(texts=TEXTS)
def test_equal_tokens_and_only_they_have_equal_hashes(texts: list[str]) -> None:
    found = token_hashes(pl.Series(texts, dtype=pl.String))
    words = [word.lower() for text in spelled(found) for word in text]
    assert (
        len(set(words)) == len(set(found.hashes.tolist())) == len(set(zip(words, found.hashes.tolist(), strict=True)))
    )


@FEW
@given(texts=TEXTS, cut=st.integers(0, 6))
def test_a_text_has_the_same_tokens_whatever_stands_beside_it(texts: list[str], cut: int) -> None:
    whole, head, tail = (token_hashes(pl.Series(part, dtype=pl.String)) for part in (texts, texts[:cut], texts[cut:]))
    assert whole.hashes.tolist() == [*head.hashes.tolist(), *tail.hashes.tolist()]
    assert whole.wordy.tolist() == [*head.wordy.tolist(), *tail.wordy.tolist()]


def test_words_of_letters_and_chinese_characters_are_wordy_and_numbers_are_not() -> None:
    found = token_hashes(pl.Series(["word I x2 12 好 été", None]))
    assert spelled(found) == [["word", "I", "x2", "12", "好", "été"], []]
    assert found.wordy.tolist() == [True, False, False, False, True, True]


def test_no_texts() -> None:
    found = token_hashes(pl.Series([], dtype=pl.String))
    assert not len(found.hashes)
    assert found.offsets.tolist() == [0]


def test_sigma_and_dotted_i_are_told_by_themselves() -> None:
    found = token_hashes(pl.Series(["ΛΌΓΟΣ λόγος λόγοσ", "İ i I"]))
    assert len(set(found.hashes[:3].tolist())) == len(set(found.hashes[3:].tolist())) == 1


@FEW
@given(
    texts=st.lists(st.text(max_size=20), max_size=5)
    | st.lists(st.text(alphabet="a，。！Ａｱ가ᄀ\u1161\u0301é½ﬁ… \u3000”", max_size=12), max_size=5)
)
def test_what_is_left_alone_by_nfkc_differs_from_it_in_signs_that_are_told_by_the_table(texts: list[str]) -> None:
    _, lower = characters()
    for text, left in zip(texts, compatible(pl.Series(texts, dtype=pl.String)), strict=True):
        told = [int(lower[ord(letter)]) for letter in left]
        assert told == [int(lower[ord(letter)]) for letter in unicodedata.normalize("NFKC", text)]


def test_the_tables_hold_for_all_of_unicode() -> None:
    """They are made from the code points of which Unicode says something: of the others there is nothing to say."""
    left_out = np.setdiff1d(np.arange(0x110000), [*range(0x40000), *range(0xE0000, 0xF0000)])
    assert {unicodedata.category(chr(point)) for point in left_out} <= {"Cn", "Co"}
    classes, lower = characters()
    assert set(classes[left_out]) == {SEPARATOR}
    assert (lower[left_out] == left_out).all()
