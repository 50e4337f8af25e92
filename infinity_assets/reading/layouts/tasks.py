"""Layouts of test-like data: multiple choice, questions over a paragraph."""

import re
from string import ascii_uppercase

from infinity_assets.reading.layouts.answers import about, answered, preferring
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import pair_of
from infinity_assets.reading.layouts.values import (
    RATIONALES,
    Turn,
    first_of,
    is_plain,
    joined,
    list_of,
    loaded,
    text_of,
)

QUESTIONS = ("question", "query", "problem", "stem", "question_stem", "goal", "sentence", "ctx")
OPTIONS = ("choices", "options", "endings")
GOLD = (
    "answerkey",
    "answer_idx",
    "correct",
    "correct_answer",
    "correct_option",
    "cop",
    "answer",
    "label",
    "target",
    "gold",
)
"""Keys of the right option, as a letter, an index or its text."""

COLUMNS = (
    ("a", "b", "c", "d", "e", "f"),
    ("opa", "opb", "opc", "opd", "ope"),
    ("option1", "option2", "option3", "option4", "option5"),
    ("sol1", "sol2"),
)
"""Columns of options in tables: lettered, MedMCQA's, WinoGrande's, PIQA's."""

MMLU = ("column_0", "column_1", "column_2", "column_3", "column_4", "column_5")
"""The columns of MMLU's tables, which have no header: the question, four options, the letter of the right one."""

_LETTERED = re.compile(r"^\s*\(?([A-Z])\s*[).:：、]\s*")


@layout("multiple_choice", asks=lambda keys: _asks(keys), answers=GOLD)
def multiple_choice(record: dict) -> list[Draft] | None:
    """A question with options (a list, columns, or ARC's objects of text and label) and which is right.

    The options are listed by their letters in the user's turn; the answer is letter and text, after the rationale if there is one.
    """
    if "column_5" in record:
        if str(record["column_5"]).strip() not in ("A", "B", "C", "D"):
            return None
        record = {
            "question": record["column_0"],
            "options": [record[name] for name in MMLU[1:5]],
            "answer": record["column_5"],
        }
    asked = loaded(record.get("question"))
    if isinstance(asked, dict):  # ARC's files: the options stand inside
        record = {**record, "question": asked.get("stem"), **{key: asked[key] for key in OPTIONS if key in asked}}
    question = first_of(record, QUESTIONS)
    found = _options(record)
    if not found or not is_plain(question):
        return None
    texts, labels = found
    letters = [ascii_uppercase[index] for index in range(len(texts))]
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True))
    gold = first_of(record, GOLD)
    index = _index(gold, texts, labels)
    answer = (
        text_of(gold) if index is None else joined(first_of(record, RATIONALES), f"{letters[index]}. {texts[index]}")
    )
    instruction = record.get("instruction")
    return [Draft([("user", joined(instruction, about(record, question, listed))), ("assistant", answer)])]


@layout("context_pairs", ("context",), ("qa_list", "qa_pairs", "qas"))
def context_pairs(record: dict) -> list[Draft] | None:
    """A `context` with a list of pairs: the context and the first question are the first turn, all pairs one conversation.

    The form of ft-instruction-synthesizer-collection (`QA_list` of Q and A). SQuAD's `qas` are one conversation each.
    """
    pairs = loaded(first_of(record, ("qa_list", "qa_pairs", "qas")))
    if not list_of(pairs, dict) or not isinstance(pairs, list):
        return None
    if any("answers" in pair or "is_impossible" in pair for pair in pairs):
        return [_over(record, pair) for pair in pairs]
    turns: list[Turn] = []
    for pair in pairs:
        exchange = pair_of(pair)
        if exchange is None:
            return None
        turns += exchange
    return [Draft([("user", about(record, turns[0][1]) if turns[0][1] is not None else None), *turns[1:]])]


@layout("squad", ("paragraphs",))
def squad(record: dict) -> list[Draft] | None:
    """An article of SQuAD: `paragraphs` of `context` and `qas`, one conversation a question."""
    paragraphs = record["paragraphs"]
    if not list_of(paragraphs, dict):
        return None
    found = [
        _over(paragraph, qa)
        for paragraph in paragraphs
        if list_of(paragraph.get("qas"), dict)
        for qa in paragraph["qas"]
    ]
    return found or None


def _over(paragraph: dict, qa: dict) -> Draft:
    answer, kept = ("", None) if qa.get("is_impossible") is True else answered(qa, preferring("answers"))
    return Draft([("user", joined(paragraph.get("context"), qa.get("question"))), ("assistant", answer)], kept)


def _asks(keys: frozenset[str]) -> bool:
    if keys.isdisjoint(QUESTIONS):
        return keys.issuperset(MMLU) and "column_6" not in keys
    return not keys.isdisjoint((*OPTIONS, GOLD[0])) or any(keys.issuperset(columns[:2]) for columns in COLUMNS)


def _options(record: dict) -> tuple[list[str], list[str]] | None:
    """The texts of the options and their labels; null if there are none."""
    value = loaded(first_of(record, OPTIONS))
    if value is None:
        for names in COLUMNS:
            columns = [key for key in names if is_plain(record.get(key))]
            if len(columns) > 1:
                labels = (
                    list(ascii_uppercase[: len(columns)])
                    if names[0] == "sol1"
                    else [key[-1].upper() for key in columns]
                )
                return [str(record[key]) for key in columns], labels
        return None
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label", value.get("labels"))
        if not isinstance(texts, list):
            labels, texts = list(value), list(value.values())
    elif list_of(value, dict) and isinstance(value, list):
        texts = [first_of(option, ("text", "value", "content", "option")) for option in value]
        labels = [first_of(option, ("label", "key", "id")) for option in value]
    else:
        texts, labels = value, None
    if not isinstance(texts, list) or not 1 < len(texts) <= len(ascii_uppercase) or not all(map(is_plain, texts)):
        return None
    texts = [str(text).strip() for text in texts]
    if all((found := _LETTERED.match(text)) and found[1] == ascii_uppercase[index] for index, text in enumerate(texts)):
        texts = [_LETTERED.sub("", text) for text in texts]
    named = isinstance(labels, list) and len(labels) == len(texts)
    return texts, [str(label).strip() for label in labels] if named and isinstance(labels, list) else list(
        ascii_uppercase[: len(texts)]
    )


def _index(gold: object, texts: list[str], labels: list[str]) -> int | None:
    """Which option is right: told by label, text, letter or index from 0."""
    said = text_of(gold)
    if not said or not said.strip():
        return None
    said = said.strip()
    if isinstance(gold, int) and not isinstance(gold, bool) and said not in labels:
        return gold if 0 <= gold < len(texts) else None
    for names in (labels, texts, list(ascii_uppercase[: len(texts)])):
        if said in names:
            return names.index(said)
    if len(said) < 3 and said.isdecimal() and int(said) < len(texts):
        return int(said)
    lettered = _LETTERED.match(said) or re.match(r"^\(?([A-Za-z])\)?$", said)
    letter = lettered[1].upper() if lettered else ""
    return ascii_uppercase.index(letter) if letter and ascii_uppercase.index(letter) < len(texts) else None
