"""Tuning data: sequences of whole examples, and a loss mask that covers only pairs and the end of text."""

import re
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.synthesis.from_text import Grammar, Pair, conversation
from infinity_assets.synthesis.tuning import AnnotatedText, TokenizedText, collect_examples, pack_sequences
from infinity_assets_tests.frames import pool

GRAMMAR = Grammar("<s>", "</s>")
TEXT = st.text("ab <>\\QUESAN/", min_size=1).map(str.strip).filter(bool)
ABOUT = st.builds(
    AnnotatedText,
    st.uuids().map(str),
    st.sampled_from("xy"),
    TEXT,
    st.lists(st.builds(Pair, TEXT, TEXT), min_size=1, max_size=3),
)


def encode_characters(text: str) -> TokenizedText:
    return TokenizedText([ord(letter) for letter in text], range(len(text)))


@given(st.lists(ABOUT, max_size=6), st.integers(40, 400))
def test_the_mask_covers_exactly_the_pairs(examples: list[AnnotatedText], most: int) -> None:
    examples = sorted(examples, key=lambda example: example.source)
    lines = list(pack_sequences(examples, GRAMMAR, most, encode_characters))
    fitting = [e for e in examples if len(GRAMMAR.format_example(e.context, e.pairs)) <= most]
    assert [row for line in lines for row in line["rows"]] == [example.row_id for example in fitting]
    assert {example.row_id: example.source for example in fitting} == {
        row: line["source"] for line in lines for row in line["rows"]
    }
    by_id = {example.row_id: example for example in examples}
    for line in lines:
        assert len(line["input_ids"]) == len(line["loss_mask"]) == len(line["text"]) <= most
        assert "".join(map(chr, line["input_ids"])) == line["text"]
        learned = "".join(chr(token) for token, mask in zip(line["input_ids"], line["loss_mask"], strict=True) if mask)
        assert learned == "".join(GRAMMAR.format_pairs(by_id[row].pairs) for row in line["rows"])


def test_a_sequence_is_filled_before_the_next_begins() -> None:
    examples = [AnnotatedText(str(n), "x", "abc", [Pair("q", "a")]) for n in range(5)]
    one = len(GRAMMAR.format_example("abc", examples[0].pairs))
    assert [len(line["rows"]) for line in pack_sequences(examples, GRAMMAR, 2 * one, encode_characters)] == [2, 2, 1]
    assert "input_ids" not in next(pack_sequences(examples, GRAMMAR, 500, None))


def test_a_real_tokenizer_splits_at_the_border(models_dir) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(models_dir / "smollm2-135m-instruct"))

    def encode(text: str) -> TokenizedText:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return TokenizedText(encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]])

    grammar = Grammar(tokenizer.bos_token, tokenizer.eos_token)
    pairs = [Pair("什么是茶？", "一种饮料。"), Pair("Why?", "Because.")]
    (line,) = pack_sequences(
        [AnnotatedText("1", "x", "Tea 茶", pairs), AnnotatedText("2", "x", "Two", pairs)], grammar, 500, encode
    )
    learned = [token for token, mask in zip(line["input_ids"], line["loss_mask"], strict=True) if mask]
    assert tokenizer.decode(learned) == grammar.format_pairs(pairs) * 2
    assert tokenizer.decode(line["input_ids"]) == line["text"]


def test_examples_are_conversations_about_a_text() -> None:
    messages = conversation("A text.\n\nOf two paragraphs.", [Pair("Q?", "A."), Pair("R?", "B.")])
    turns = [(turn["role"], turn["content"]) for turn in messages]
    rows = pool(
        ("s", "f", 0, turns),
        ("s", "f", 1, [("system", "Be brief."), *turns]),
        ("s", "f", 2, [("user", "Hello?"), ("assistant", "Hi.")]),
    )
    rows = rows.with_columns(context_chars=pl.Series([None] * 3, dtype=pl.Int64))
    assert collect_examples(rows, split_unknown=False) == []
    found = collect_examples(rows, split_unknown=True)
    assert [example.context for example in found] == ["A text.\n\nOf two paragraphs."] * 2
    assert [example.pairs for example in found] == [[Pair("Q?", "A."), Pair("R?", "B.")]] * 2
    exactly = collect_examples(rows.head(1).with_columns(context_chars=pl.lit(7)), split_unknown=False)
    assert exactly[0].context == "A text."
    assert re.match("Of two", exactly[0].pairs[0].question)
