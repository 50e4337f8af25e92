"""The options of a question, in any of their forms, and the right ones among them."""

import hashlib
import re
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

from infinity_assets.reading.layouts.values import first_of, is_missing, is_plain, list_of, load_json, text_of
from infinity_assets.reading.names import NAMES

OPTIONS = NAMES["options"]
"""Keys of options: a list, an object by letter, or one text."""

WRONG = NAMES["wrong_options"]
"""Keys of a list of the wrong options."""

GOLD = NAMES["right_option"]
"""Keys of the right option, given as a letter, an index or its text."""

_CHOSEN = (
    "label", "correct_answer_id", "correct_id", "correct_answer_index", "correct_index", "correct_idx", "answer_idx",
    "answer_index",
)  # fmt: skip
"""Keys of the number of the right one among `answers`."""

_INDEXES = frozenset(NAMES["index_of_option"])
_TRUTH = NAMES["option_is_right"]
_TRUE = (True, 1, "true", "True", "1")
_ANSWERS = ("correct_answer", "right_answer", "answer", "solution", "target", "correct")
"""Keys of the right answer beside wrong ones."""

_LETTERED = re.compile(r"^\s*[\[(]?([A-Z])\s*[\])}.:：、．]\s*")
_ITEM = re.compile(r"(?:^|(?<=\s))[\[(]?([A-Z])\s*[\])}.:：、．]\s*")
_SMALL_ITEM = re.compile(r"(?:^|(?<=\s))[\[(]?([a-z])\s*[\])}.:：、．]\s*")
_LETTER = re.compile(r"^[\[(]?([A-Za-z])[\])]?[.、]?$")
_SEVERAL = re.compile(r"^[A-Z](?:\s*(?:[,;、/&+]|and)?\s*[A-Z])+$")
_COLUMN = re.compile(r"^(?:option|choice|opt|answer|ans|ending|sol)[ _]?(?=\w$)", re.IGNORECASE)
_LABEL = re.compile(r"^(?:[A-Za-z]|\d{1,2})$")


class Options(NamedTuple):
    """The options of a question."""

    texts: list[str]
    labels: list[str]
    """The names by which the record may refer to the options."""
    right: list[int] | None = None
    """The indexes of the right options, if the options themselves tell."""
    numbers_from: int | None = 0
    """The number of the first option where a number stands for the right one; `None` if that is not known."""


def has_options(keys: frozenset[str]) -> bool:
    """Return whether a record with these keys, in plain form, may have options."""
    return (
        not keys.isdisjoint((*OPTIONS, *WRONG))
        or ("answers" in keys and not keys.isdisjoint(_CHOSEN))
        or bool(_option_columns(tuple(keys)))
    )


def find_options(record: dict) -> Options | None:
    """Return the options of a record, or `None` if it has none that can be read."""
    for key in OPTIONS:
        if (value := load_json(record.get(key))) and (options := _read_options(value)):
            # In TruthfulQA's lists the right option is always the first.
            return _mix(options.texts, options.right) if key == "mc1_targets" else options
    columns = _option_columns(tuple(record))
    wrong = load_json(first_of(record, WRONG))
    if columns and columns.is_wrong and not list_of(wrong, str):
        wrong = [record[key] for key in columns.keys]
    if isinstance(wrong, list):
        texts = [first_of(record, _ANSWERS), *wrong]
        texts = [str(text).strip() for text in texts if is_plain(text) and text != ""]
        return _mix(list(dict.fromkeys(texts)), [0]) if is_plain(first_of(record, _ANSWERS)) else None
    if columns:
        keys = [key for key in columns.keys if is_plain(record[key]) and not is_missing(record[key])]
        texts = [str(record[key]).strip() for key in keys]
        return Options(texts, [key[-1].upper() for key in keys], None, columns.start) if len(keys) > 1 else None
    answers = record.get("answers")
    is_chosen = any(type(record.get(name)) is int for name in _CHOSEN)  # ReClor, QuAIL
    return _read_options(answers) if list_of(answers, str) and is_chosen else None


def find_right(record: dict, options: Options) -> list[int] | None:
    """Return the indexes of the right options; [] if the record names none, `None` if it cannot be told which.

    Letters and texts come before numbers, which may count from 0 or from 1.
    """
    if options.right is not None:
        return options.right
    for keys in (GOLD, ("output", "response")):
        named = [(key, record[key]) for key in keys if key in record and not _is_hidden(record[key], options)]
        for match in (_match_name, _match_number) if named else ():
            for key, value in named:
                found = match(key, value, options)
                if found is not None:
                    return found
        if named:
            return None
    return []


def _read_options(value: object) -> Options | None:
    """Return the options in a list, an object or a text."""
    labels: object = None
    right: list[int] | None = None
    texts: object = value
    if isinstance(value, str):
        texts = _split_text(value)
    elif isinstance(value, dict):
        texts = first_of(value, ("text", "choices", "texts", "options"))
        labels = first_of(value, ("label", "labels", "key", "keys"))
        if isinstance(texts, list) and list_of(labels, int) and len(labels) == len(texts) and {*labels} <= {0, 1}:
            right = [index for index, label in enumerate(labels) if label]
        elif not isinstance(texts, list):
            named = {str(key).strip(): text for key, text in value.items() if text is not None}
            labels = list(named)
            texts = list(named.values()) if all(map(_LABEL.match, labels)) else None
    elif list_of(value, dict):
        if any("finish_reason" in option or "message" in option for option in value):
            return None  # the choices of a server's response
        texts = [first_of(option, ("text", "value", "content", "option", "choice", "answer")) for option in value]
        labels = [first_of(option, ("label", "key", "id", "letter")) for option in value]
        truth = next((key for key in _TRUTH if all(key in option for option in value)), None)
        right = [index for index, option in enumerate(value) if option[truth] in _TRUE] if truth else None
    elif list_of(value, list) and all(len(pair) == 2 for pair in value):
        labels, texts = map(list, zip(*value, strict=True))
    if not isinstance(texts, list) or not 1 < len(texts) <= len(ascii_uppercase) or not all(map(is_plain, texts)):
        return None
    texts = [str(text).strip() for text in texts]
    letters = list(ascii_uppercase[: len(texts)])
    if [found[1] for text in texts if (found := _LETTERED.match(text))] == letters:
        texts = [_LETTERED.sub("", text) for text in texts]
    if right or not isinstance(labels, list) or len(labels) != len(texts) or not all(map(is_plain, labels)):
        labels = letters
    return Options(texts, [str(label).strip() for label in labels], right)


def _split_text(text: str) -> list[str] | None:
    """Return the options in one text, each after its letter, such as `A. x\\nB. y` or `(A) x (B) y`."""
    for item, letters in ((_ITEM, ascii_uppercase), (_SMALL_ITEM, ascii_lowercase)):
        marks: list[re.Match[str]] = []
        for mark in item.finditer(text):
            if mark[1] == letters[len(marks) : len(marks) + 1]:
                marks.append(mark)
        if len(marks) > 1 and not text[: marks[0].start()].strip():
            ends = [*(mark.start() for mark in marks[1:]), len(text)]
            return [text[mark.end() : end].strip().rstrip(",; ") for mark, end in zip(marks, ends, strict=True)]
    return None


class _Columns(NamedTuple):
    """Columns that hold one option each."""

    keys: list[str]
    is_wrong: bool
    """True if they hold the wrong options only."""
    start: int | None
    """The number of the first option where a number stands for the right one."""


@lru_cache(1024)
def _option_columns(keys: tuple[object, ...]) -> _Columns | None:
    """Return the columns of options among the keys of a record."""
    present = frozenset(key for key in keys if isinstance(key, str))
    wrong = NAMES["wrong_option_columns"]
    for stem in (*wrong, "", *NAMES["option_columns"]):
        for suffixes in (ascii_lowercase[:10], "0123456789", "123456789"):
            found = [f"{stem}{suffix}" for suffix in suffixes if f"{stem}{suffix}" in present]
            # Two answers are more often to be compared than options.
            least = 1 if stem in wrong else 3 if stem.startswith("ans") else 2
            judged = stem.startswith("ans") and any(key.startswith("score") for key in present)
            if (
                not judged
                and len(found) >= least
                and found[0] == f"{stem}{suffixes[0]}"
                and (stem or suffixes[0] == "a")
            ):
                return _Columns(found, stem in wrong, _STARTS.get(stem.rstrip("_")) if suffixes[0] != "0" else 0)
    return None


_STARTS = {"op": 0, "choice": 0, "sol": 0, "answer": 1}
"""The number of the first option by the beginning of the names of columns that count from 1 or by letters: MedMCQA's
`cop` and COPA's and PIQA's `label` count from 0, Social IQa's `label` counts from 1."""


def _mix(texts: list[str], right: list[int] | None) -> Options | None:
    """Return options in an order that depends on their texts alone, without a trace of which are right."""
    if len(texts) < 2 or not right:
        return None
    keys = [hashlib.blake2b("\n".join((*sorted(texts), text)).encode(), digest_size=8).digest() for text in texts]
    order = sorted(range(len(texts)), key=lambda index: keys[index])
    letters = list(ascii_uppercase[: len(texts)])
    return Options([texts[index] for index in order], letters, sorted(map(order.index, right)))


def _is_hidden(value: object, options: Options) -> bool:
    """Return whether a value names no option: it is blank or -1, as in the test split of an exam, or a verdict."""
    text = (text_of(value) or "").strip() if not isinstance(value, list | dict) else str(value or "")
    return text in ("", "-1", "?") or (isinstance(value, bool) and text not in options.texts)


def _match_name(key: str, value: object, options: Options) -> list[int] | None:
    """Return the options that a value names by label, text or letter."""
    if isinstance(value, list):
        found = [_match_name(key, item, options) or _match_number(key, item, options) for item in value]
        return sorted({index for indexes in found if indexes for index in indexes}) if all(found) else None
    text = (text_of(value) or "").strip()
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if (is_number and text not in options.labels) or (text.isdecimal() and key in _INDEXES):
        return None
    letters = list(ascii_uppercase[: len(options.texts)])
    for name, names in (
        (text, options.labels),
        (text, options.texts),
        (text, letters),
        (_COLUMN.sub("", text), options.labels),
    ):
        if name in names:
            return [names.index(name)]
    if found := _LETTER.match(text) or _LETTERED.match(text):
        index = ascii_uppercase.index(found[1].upper())
        rest = text[found.end() :].strip()
        return [index] if index < len(letters) and rest in ("", options.texts[index]) else None
    named = re.findall("[A-Z]", text) if _SEVERAL.match(text) else []
    return [letters.index(letter) for letter in named] if named and named == sorted({*named} & {*letters}) else None


def _match_number(key: str, value: object, options: Options) -> list[int] | None:
    """Return the option that a number stands for, if it is known from where numbers count."""
    start = 0 if options.numbers_from is None and ("index" in key or "idx" in key) else options.numbers_from
    text = (text_of(value) or "").strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,2}(\.0)?", text) or start is None or key == "gold_label":
        return None
    index = int(float(text)) - start
    return [index] if 0 <= index < len(options.texts) else None
