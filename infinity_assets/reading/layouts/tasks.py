"""Layouts of exam data: multiple choice, questions about a paragraph."""

import re
from string import ascii_uppercase

from infinity_assets.reading.layouts.answers import add_context, extract_answer, prefer_keys
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import pair_of
from infinity_assets.reading.layouts.values import (
    RATIONALES,
    Turn,
    first_of,
    is_plain,
    join_texts,
    list_of,
    load_json,
    text_of,
)
from infinity_assets.reading.names import NAMES

QUESTIONS = ("question", "query", "problem", "stem", "question_stem", "goal", "sentence", "ctx")
OPTIONS = ("choices", "options", "endings")
GOLD = NAMES["right_option"]
"""Keys of the right option, given as a letter, an index or its text."""

COLUMNS = (
    ("a", "b", "c", "d", "e", "f"),
    ("opa", "opb", "opc", "opd", "ope"),
    ("option1", "option2", "option3", "option4", "option5"),
    ("sol1", "sol2"),
)
"""Columns of options in tables: lettered, or as in MedMCQA, WinoGrande or PIQA."""

MMLU = ("column_0", "column_1", "column_2", "column_3", "column_4", "column_5")
"""Columns of MMLU's tables, which have no header: the question, four options, the letter of the right one."""

_LETTERED = re.compile(r"^\s*\(?([A-Z])\s*[).:：、]\s*")


@layout("multiple_choice", asks=lambda keys: _has_choice_keys(keys), answers=GOLD)
def multiple_choice(record: dict) -> list[Draft] | None:
    """Read a question with options (a list, columns, or ARC's objects of text and label) and the right one.

    The user's turn lists the options by letter; the answer is letter and text, after the rationale if there is one.
    """
    if "column_5" in record:
        if str(record["column_5"]).strip() not in ("A", "B", "C", "D"):
            return None
        record = {
            "question": record["column_0"],
            "options": [record[name] for name in MMLU[1:5]],
            "answer": record["column_5"],
        }
    question_object = load_json(record.get("question"))
    if isinstance(question_object, dict):  # in ARC's files the question contains the options
        record = {
            **record,
            "question": question_object.get("stem"),
            **{key: question_object[key] for key in OPTIONS if key in question_object},
        }
    question = first_of(record, QUESTIONS)
    found = _find_options(record)
    if not found or not is_plain(question):
        return None
    texts, labels = found
    letters = [ascii_uppercase[index] for index in range(len(texts))]
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, texts, strict=True))
    gold = first_of(record, GOLD)
    index = _find_index(gold, texts, labels)
    answer = text_of(gold)
    if index is not None:
        answer = join_texts(first_of(record, RATIONALES), f"{letters[index]}. {texts[index]}")
    instruction = record.get("instruction")
    return [Draft([("user", join_texts(instruction, add_context(record, question, listed))), ("assistant", answer)])]


@layout("context_pairs", ("context",), ("qa_list", "qa_pairs", "qas"))
def context_pairs(record: dict) -> list[Draft] | None:
    """Read a `context` with question-answer pairs as one conversation. The context precedes the first question.

    This is the form of ft-instruction-synthesizer-collection (`QA_list` of Q and A). In SQuAD's form (`qas`), each
    question is a conversation of its own.
    """
    pairs = load_json(first_of(record, ("qa_list", "qa_pairs", "qas")))
    if not list_of(pairs, dict):
        return None
    if any("answers" in pair or "is_impossible" in pair for pair in pairs):
        return [_draft_question(record, pair) for pair in pairs]
    turns: list[Turn] = []
    for pair in pairs:
        exchange = pair_of(pair)
        if exchange is None:
            return None
        turns += exchange
    return [Draft([("user", add_context(record, turns[0][1]) if turns[0][1] is not None else None), *turns[1:]])]


@layout("squad", ("paragraphs",))
def squad(record: dict) -> list[Draft] | None:
    """Read an article of SQuAD: `paragraphs` of `context` and `qas`, one conversation per question."""
    paragraphs = record["paragraphs"]
    if not list_of(paragraphs, dict):
        return None
    found = [
        _draft_question(paragraph, qa)
        for paragraph in paragraphs
        if list_of(paragraph.get("qas"), dict)
        for qa in paragraph["qas"]
    ]
    return found or None


def _draft_question(paragraph: dict, qa: dict) -> Draft:
    answer, kept = ("", None) if qa.get("is_impossible") is True else extract_answer(qa, prefer_keys("answers"))
    return Draft([("user", join_texts(paragraph.get("context"), qa.get("question"))), ("assistant", answer)], kept)


def _has_choice_keys(keys: frozenset[str]) -> bool:
    if keys.isdisjoint(QUESTIONS):
        return keys.issuperset(MMLU) and "column_6" not in keys
    return not keys.isdisjoint((*OPTIONS, GOLD[0])) or any(keys.issuperset(columns[:2]) for columns in COLUMNS)


def _find_options(record: dict) -> tuple[list[str], list[str]] | None:
    """Return the texts of the options and their labels, or `None` if there are no options."""
    value = load_json(first_of(record, OPTIONS))
    if value is None:
        for names in COLUMNS:
            columns = [key for key in names if is_plain(record.get(key))]
            if len(columns) > 1:
                numbered = names[0] != "sol1"
                labels = [key[-1].upper() for key in columns] if numbered else list(ascii_uppercase[: len(columns)])
                return [str(record[key]) for key in columns], labels
        return None
    if isinstance(value, dict):
        texts = value.get("text")
        labels = value.get("label", value.get("labels"))
        if not isinstance(texts, list):
            labels = list(value)
            texts = list(value.values())
    elif list_of(value, dict):
        texts = [first_of(option, ("text", "value", "content", "option")) for option in value]
        labels = [first_of(option, ("label", "key", "id")) for option in value]
    else:
        texts = value
        labels = None
    if not isinstance(texts, list) or not 1 < len(texts) <= len(ascii_uppercase) or not all(map(is_plain, texts)):
        return None
    texts = [str(text).strip() for text in texts]
    if all((found := _LETTERED.match(text)) and found[1] == ascii_uppercase[index] for index, text in enumerate(texts)):
        texts = [_LETTERED.sub("", text) for text in texts]
    if isinstance(labels, list) and len(labels) == len(texts):
        return texts, [str(label).strip() for label in labels]
    return texts, list(ascii_uppercase[: len(texts)])


def _find_index(gold: object, texts: list[str], labels: list[str]) -> int | None:
    """Return the index of the right option or `None`. Records give its label, text, letter or index from 0."""
    text = text_of(gold)
    if not text or not text.strip():
        return None
    text = text.strip()
    if isinstance(gold, int) and not isinstance(gold, bool) and text not in labels:
        return gold if 0 <= gold < len(texts) else None
    for names in (labels, texts, list(ascii_uppercase[: len(texts)])):
        if text in names:
            return names.index(text)
    if len(text) < 3 and text.isdecimal() and int(text) < len(texts):
        return int(text)
    lettered = _LETTERED.match(text) or re.match(r"^\(?([A-Za-z])\)?$", text)
    letter = lettered[1].upper() if lettered else ""
    return ascii_uppercase.index(letter) if letter and ascii_uppercase.index(letter) < len(texts) else None
