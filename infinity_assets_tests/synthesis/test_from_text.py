"""The marker grammar, which tuned models depend on to the character, and texts that contain its markers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.rows.grammar import DEBRIS
from infinity_assets.synthesis.from_text import (
    MARKERS,
    Example,
    Grammar,
    Pair,
    build_few_shot,
    conversation,
    cut,
    pairs_of,
    read_exemplars,
    split_groups,
)

GRAMMAR = Grammar("<s>", "</s>")
NO_BOS = Grammar("", "<|im_end|>")
MARKED = st.lists(
    st.text("ab \n<\\>/") | st.sampled_from([*MARKERS, "<s>", "</s>", "<|im_end|>", "<\\QUE>", "问", "<", "\\"])
).map("".join)
CLEAN = MARKED.map(str.strip).filter(lambda text: text and not any(mark in text for mark in DEBRIS))
PAIRS = st.lists(st.builds(Pair, CLEAN, CLEAN), min_size=1, max_size=4, unique_by=lambda pair: pair.question.lower())


def test_an_example_has_the_exact_format() -> None:
    example = GRAMMAR.format_example("A text.", [Pair("Q1?", "A1."), Pair("Q2?", "A2.")])
    assert example == "<s> <CON> A text. </CON>\n\n<QUE> Q1? <ANS> A1. </END>\n\n<QUE> Q2? <ANS> A2. </END></s>"


@given(PAIRS)
def test_formatted_pairs_are_parsed_unchanged(pairs: list[Pair]) -> None:
    for grammar in (GRAMMAR, NO_BOS):
        parsed = grammar.parse(grammar.format_pairs(pairs))
        assert parsed.rejected == ()
        assert list(parsed.pairs) == pairs


@given(MARKED)
def test_markers_in_a_text_are_escaped(text: str) -> None:
    for grammar in (GRAMMAR, NO_BOS):
        neutral = grammar.escape(text)
        assert not any(mark in neutral for mark in (*MARKERS, *filter(None, (grammar.bos, grammar.eos))))
        assert grammar.unescape(neutral) == text


@given(MARKED)
def test_any_text_of_a_model_is_parsed(written: str) -> None:
    parsed = GRAMMAR.parse(written)
    for question, answer in parsed.pairs:
        assert question.strip()
        assert answer.strip()
    assert len({question.lower() for question, _ in parsed.pairs}) == len(parsed.pairs)
    ended = written.split("</s>")[0]
    assert len(parsed.pairs) + len(parsed.rejected) == ended.count("</END>") + bool(ended.split("</END>")[-1].strip())


@pytest.mark.parametrize(
    ("written", "pairs", "rejected"),
    [
        ("<QUE> q <ANS> a </END>", ["q"], []),
        ("\n<QUE>q<ANS>a</END>\n\n", ["q"], []),
        ("<QUE> q <ANS> a </END>\n\n<QUE> r <ANS> b", ["q"], ["unfinished"]),
        ("<QUE> q <ANS> a </END></s> <QUE> r <ANS> b </END>", ["q"], []),
        ("q <ANS> a </END><QUE> r <ANS> b </END>", ["r"], ["no_question"]),
        ("<QUE> <ANS> a </END>", [], ["no_question"]),
        ("<QUE> q </END>", [], ["not_one_answer"]),
        ("<QUE> q <ANS> a <ANS> b </END>", [], ["not_one_answer"]),
        ("<QUE> q <ANS> \n </END>", [], ["no_answer"]),
        ("<QUE> q <QUE> r <ANS> a </END>", [], ["stray_marker"]),
        ("<QUE> q <ANS> a <|im_start|> </END>", [], ["template_debris"]),
        ("<QUE> Q <ANS> a </END><QUE> q <ANS> b </END>", ["Q"], ["repeated_question"]),
        ("", [], []),
    ],
)
def test_faulty_blocks_are_rejected_with_a_reason(written: str, pairs: list[str], rejected: list[str]) -> None:
    parsed = GRAMMAR.parse(written)
    assert [question for question, _ in parsed.pairs] == pairs
    assert list(parsed.rejected) == rejected


def test_a_pair_copied_from_the_prompt_is_rejected() -> None:
    parsed = GRAMMAR.parse(
        "<QUE> q <ANS> A </END><QUE> r <ANS> b </END>", copies=[Pair("Q", "a"), Pair("r", "another")]
    )
    assert parsed == ((Pair("r", "b"),), ("copied_from_prompt",))


@given(st.text("ab.\n ", min_size=1).filter(str.strip), PAIRS)
def test_pairs_are_recovered_from_a_conversation(text: str, pairs: list[Pair]) -> None:
    messages = conversation(text, pairs)
    assert [turn["role"] for turn in messages] == ["user", "assistant"] * len(pairs)
    assert messages[0]["content"] == f"{text}\n\n{pairs[0].question}"
    assert pairs_of(messages, text) == pairs


@given(st.integers(0, 50), st.integers(1, 6))
def test_groups_hold_each_text_once_and_do_not_grow(count: int, rounds: int) -> None:
    found = split_groups(count, rounds)
    assert [place for group in found for place in group] == list(range(count))
    sizes = [len(group) for group in found]
    assert len(sizes) <= rounds
    assert sizes == sorted(sizes, reverse=True)


@given(st.lists(st.integers(1, 9), max_size=3), st.lists(st.integers(1, 9), max_size=4), st.integers(0, 40))
def test_a_prompt_fits_and_holds_the_newest_examples(fixed: list[int], earlier: list[int], room: int) -> None:
    prompt = build_few_shot(
        Example("c", 3), [Example("f", n) for n in fixed], [Example(str(i), n) for i, n in enumerate(earlier)], room
    )
    assert prompt.endswith("c")
    taken = [int(letter) for letter in prompt if letter.isdigit()]
    assert taken == list(range(len(earlier)))[len(earlier) - len(taken) :]
    if sum(fixed) + sum(earlier) + 3 <= room:
        assert prompt == "f" * len(fixed) + "".join(map(str, range(len(earlier)))) + "c"
    if taken:
        assert sum(earlier[i] for i in taken) + 3 <= room


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("One two. Three four.", 9, "One two. Three four."),
        ("One two. Three four.", 3, "One two."),
        ("One two\n\nThree four five.", 4, "One two"),
        ("One two three four", 2, "One two"),
        ('He said "go." Then left. So.', 5, 'He said "go." Then left.'),
    ],
)
def test_a_text_is_cut_after_a_sentence_or_paragraph(text: str, most: int, expected: str) -> None:
    assert cut(text, most, words) == expected


@given(st.text("ab. \n。！字"), st.integers(1, 30))
def test_a_cut_text_is_part_of_the_text_and_fits(text: str, most: int) -> None:
    beginning = cut(text, most, len)
    assert len(beginning) <= most
    assert beginning == text or beginning in text
    if text.strip():
        assert beginning


@pytest.mark.parametrize("language", prompts.LANGUAGES)
def test_exemplars_follow_the_grammar(language: prompts.Language) -> None:
    prompt = prompts.load("pairs_from_text", language)
    found = read_exemplars(prompt)
    assert len(found) == 3
    for written, (text, pairs) in zip(prompt.examples, found, strict=True):
        assert text
        assert Grammar("", "").format_pairs(pairs) == written


@pytest.mark.parametrize(
    ("ours", "theirs"), [("## user\n", "## system\nHi\n\n## user\n"), ("<ANS>", "<ASW>"), ("</END>", "</END> So.")]
)
def test_exemplars_that_break_the_grammar_raise(tmp_path: Path, ours: str, theirs: str) -> None:
    file = prompts.load("pairs_from_text", "en").file
    (tmp_path / file.name).write_text(file.read_text().replace(ours, theirs, 1))
    with pytest.raises(InfinityError, match=file.name):
        read_exemplars(prompts.load("pairs_from_text", "en", tmp_path))
