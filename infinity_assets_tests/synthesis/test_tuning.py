"""Tuning data teaches what its mask says: pairs and the end of text, never a context."""

import re

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.synthesis.from_text import Grammar, Pair, conversation
from infinity_assets.synthesis.tuning import About, Tokenised, examples_of, sequences
from infinity_assets_tests.frames import pool

GRAMMAR = Grammar("<s>", "</s>")
TEXT = st.text("ab <>\\QUESAN/", min_size=1).map(str.strip).filter(bool)
ABOUT = st.builds(
    About,
    st.uuids().map(str),
    st.sampled_from("xy"),
    TEXT,
    st.lists(st.builds(Pair, TEXT, TEXT), min_size=1, max_size=3),
)


def by_characters(text: str) -> Tokenised:
    return Tokenised([ord(letter) for letter in text], range(len(text)))


@given(st.lists(ABOUT, max_size=6), st.integers(40, 400))
def test_the_mask_covers_exactly_the_pairs(examples: list[About], most: int) -> None:
    examples = sorted(examples, key=lambda example: example.source)
    lines = list(sequences(examples, GRAMMAR, most, by_characters))
    fitting = [e for e in examples if len(GRAMMAR.example(e.context, e.pairs)) <= most]
    assert [row for line in lines for row in line["rows"]] == [example.row_id for example in fitting]
    assert {example.row_id: example.source for example in fitting} == {
        row: line["source"] for line in lines for row in line["rows"]
    }
    by_id = {example.row_id: example for example in examples}
    for line in lines:
        assert len(line["input_ids"]) == len(line["loss_mask"]) == len(line["text"]) <= most
        assert "".join(map(chr, line["input_ids"])) == line["text"]
        learnt = "".join(chr(token) for token, mask in zip(line["input_ids"], line["loss_mask"], strict=True) if mask)
        assert learnt == "".join(GRAMMAR.pairs(by_id[row].pairs) for row in line["rows"])


def test_sequences_are_full_before_another_begins() -> None:
    examples = [About(str(n), "x", "abc", [Pair("q", "a")]) for n in range(5)]
    one = len(GRAMMAR.example("abc", examples[0].pairs))
    assert [len(line["rows"]) for line in sequences(examples, GRAMMAR, 2 * one, by_characters)] == [2, 2, 1]
    assert "input_ids" not in next(sequences(examples, GRAMMAR, 500, None))


def test_a_real_tokenizer_splits_at_the_border(models_dir) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(models_dir / "smollm2-135m-instruct"))

    def encode(text: str) -> Tokenised:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Tokenised(encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]])

    grammar = Grammar(tokenizer.bos_token, tokenizer.eos_token)
    pairs = [Pair("什么是茶？", "一种饮料。"), Pair("Why?", "Because.")]
    (line,) = sequences([About("1", "x", "Tea 茶", pairs), About("2", "x", "Two", pairs)], grammar, 500, encode)
    learnt = [token for token, mask in zip(line["input_ids"], line["loss_mask"], strict=True) if mask]
    assert tokenizer.decode(learnt) == grammar.pairs(pairs) * 2
    assert tokenizer.decode(line["input_ids"]) == line["text"]


def test_which_rows_are_about_a_text() -> None:
    told = conversation("A text.\n\nOf two paragraphs.", [Pair("Q?", "A."), Pair("R?", "B.")])
    turns = [(turn["role"], turn["content"]) for turn in told]
    rows = pool(
        ("s", "f", 0, turns),
        ("s", "f", 1, [("system", "Be brief."), *turns]),
        ("s", "f", 2, [("user", "Hello?"), ("assistant", "Hi.")]),
    )
    rows = rows.with_columns(context_chars=pl.Series([None] * 3, dtype=pl.Int64))
    assert examples_of(rows, split_unknown=False) == []
    found = examples_of(rows, split_unknown=True)
    assert [example.context for example in found] == ["A text.\n\nOf two paragraphs."] * 2
    assert [example.pairs for example in found] == [[Pair("Q?", "A."), Pair("R?", "B.")]] * 2
    exactly = examples_of(rows.head(1).with_columns(context_chars=pl.lit(7)), split_unknown=False)
    assert exactly[0].context == "A text."
    assert re.match("Of two", exactly[0].pairs[0].question)
