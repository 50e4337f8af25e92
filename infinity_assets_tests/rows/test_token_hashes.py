"""Compiled tokens are equal to those of `rows.text.tokens`, in every script."""

import unicodedata

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.rows.character_classes import SEPARATOR
from infinity_assets.rows.text import tokens
from infinity_assets.rows.token_hashes import TokenHashes, character_tables, hash_tokens, to_nfkc
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(150), deadline=None)
TEXTS = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_characters="Σςİ", exclude_categories=["Cs"]), max_size=30),
        st.text(alphabet="aAbZ09 .,-'\n好是가ｱไ٣éÉﬁ½²", max_size=30),
    ),
    max_size=6,
)


def spell(found: TokenHashes) -> list[list[str]]:
    """Return the tokens as they stand in the texts."""
    words = []
    for number, text in enumerate(found.texts):
        data = text.encode()
        places = range(found.offsets[number], found.offsets[number + 1])
        words.append([data[found.starts[p] : found.ends[p]].decode() for p in places])
    return words


@FEW
@given(texts=TEXTS)
def test_the_tokens_agree_with_the_expression(texts: list[str]) -> None:
    series = pl.Series("text", texts, dtype=pl.String)
    expected = series.to_frame().select(tokens(pl.col("text"))).to_series().to_list()
    assert [[word.lower() for word in text] for text in spell(hash_tokens(series))] == expected


@FEW
@given(texts=TEXTS)
def test_hashes_are_equal_if_and_only_if_tokens_are_equal(texts: list[str]) -> None:
    found = hash_tokens(pl.Series(texts, dtype=pl.String))
    words = [word.lower() for text in spell(found) for word in text]
    assert (
        len(set(words)) == len(set(found.hashes.tolist())) == len(set(zip(words, found.hashes.tolist(), strict=True)))
    )


@FEW
@given(texts=TEXTS, cut=st.integers(0, 6))
def test_the_tokens_of_a_text_do_not_depend_on_other_texts(texts: list[str], cut: int) -> None:
    whole, head, tail = (hash_tokens(pl.Series(part, dtype=pl.String)) for part in (texts, texts[:cut], texts[cut:]))
    assert whole.hashes.tolist() == [*head.hashes.tolist(), *tail.hashes.tolist()]
    assert whole.wordy.tolist() == [*head.wordy.tolist(), *tail.wordy.tolist()]


def test_words_of_letters_and_chinese_characters_are_wordy_and_numbers_are_not() -> None:
    found = hash_tokens(pl.Series(["word I x2 12 好 été", None]))
    assert spell(found) == [["word", "I", "x2", "12", "好", "été"], []]
    assert found.wordy.tolist() == [True, False, False, False, True, True]


def test_no_texts_have_no_tokens() -> None:
    found = hash_tokens(pl.Series([], dtype=pl.String))
    assert not len(found.hashes)
    assert found.offsets.tolist() == [0]


def test_sigma_and_dotted_i_do_not_depend_on_their_context() -> None:
    found = hash_tokens(pl.Series(["ΛΌΓΟΣ λόγος λόγοσ", "İ i I"]))
    assert len(set(found.hashes[:3].tolist())) == len(set(found.hashes[3:].tolist())) == 1


@FEW
@given(
    texts=st.lists(st.text(max_size=20), max_size=5)
    | st.lists(st.text(alphabet="a，。！Ａｱ가ᄀ\u1161\u0301é½ﬁ… \u3000”", max_size=12), max_size=5)
)
def test_texts_outside_nfkc_agree_with_nfkc_after_the_tables(texts: list[str]) -> None:
    _, lower = character_tables()
    for text, left in zip(texts, to_nfkc(pl.Series(texts, dtype=pl.String)), strict=True):
        mapped = [int(lower[ord(letter)]) for letter in left]
        assert mapped == [int(lower[ord(letter)]) for letter in unicodedata.normalize("NFKC", text)]


def test_the_tables_cover_all_of_unicode() -> None:
    """The code points outside the tables are unassigned or private."""
    left_out = np.setdiff1d(np.arange(0x110000), [*range(0x40000), *range(0xE0000, 0xF0000)])
    assert {unicodedata.category(chr(point)) for point in left_out} <= {"Cn", "Co"}
    classes, lower = character_tables()
    assert set(classes[left_out]) == {SEPARATOR}
    assert (lower[left_out] == left_out).all()
