"""The choice of the right one among several answers of a record."""

from typing import NamedTuple

from infinity_assets.reading.layouts.facts import JUDGED, TRUTHS, judge
from infinity_assets.reading.layouts.values import is_missing, is_plain, list_of, load_json
from infinity_assets.reading.names import NAMES, plain_key, split_name
from infinity_assets.rows.grammar import Rejected

_CHOOSING = NAMES["choosing"]
_INDEXES = frozenset(NAMES["index_of_option"])
_NAMES = frozenset(_CHOOSING)
_ORDER = ("wrong", None, "right")
_PLACES = frozenset(("id", "idx", "index", "start", "end", "offset", "position", "byte", "char", "token", "tokens"))
"""Words in the names of numbers that say nothing about an answer."""

_MARK_CHARS = 12
"""Maximum length of a text that may be a verdict on an answer."""


class Chosen(NamedTuple):
    """The answers of a record."""

    answers: object
    """The value that holds them, or the list of them with the right one first."""
    verdict: str | None = None
    """The data's verdict on the first answer, `right` or `wrong`, or `None`."""


def choose_answer(record: dict, answers: object) -> Chosen | Rejected:
    """Return the answers with the right one first, if they say which is right or a key beside them does.

    They are rejected as `ambiguous_answer` if something tells them apart in a way that is not understood.
    """
    listed = [answers] if isinstance(answers, dict) else answers
    if list_of(listed, dict):
        verdicts = [_judge_itself(answer) for answer in listed]
        if any(verdicts):
            best = max(range(len(listed)), key=lambda place: (_ORDER.index(verdicts[place]), -place))
            return Chosen(_put_first(listed, best), verdicts[best])
        if len(listed) > 1 and any(map(_is_rated, listed)):
            return Rejected("ambiguous_answer", "the answers have numbers that are not understood")
    elif isinstance(listed, list) and len(listed) > 1 and all(map(is_plain, listed)):
        return _choose_text(record, listed)
    return Chosen(answers)


def _choose_text(record: dict, answers: list) -> Chosen | Rejected:
    """Return texts with the right one first, by a key beside them."""
    texts = [str(answer).strip() for answer in answers]
    for name in () if _NAMES.isdisjoint(record) else _CHOOSING:
        chosen = record.get(name)
        if chosen is None or is_missing(chosen) or isinstance(chosen, list | dict | bool):
            continue
        if (text := str(chosen).strip()) in texts:
            return Chosen(_put_first(answers, texts.index(text)))
        if name in _INDEXES and isinstance(chosen, int) and 0 <= chosen < len(answers):
            return Chosen(_put_first(answers, chosen))
        return Rejected("ambiguous_answer", f"`{name}`: {text[:80]}")
    for name, value in record.items():
        marks = load_json(value, "[") if isinstance(value, str) and value[:1] == "[" else value
        if (
            marks is not answers
            and isinstance(marks, list)
            and len(marks) == len(answers)
            and all(map(_is_mark, marks))
        ):
            return Rejected("ambiguous_answer", f"`{name}`: {str(value)[:80]}")
    return Chosen(answers)


def _put_first(answers: list, place: int) -> list:
    return [answers[place], *answers[:place], *answers[place + 1 :]]


def _judge_itself(answer: dict) -> str | None:
    """Return what one of several answers says of itself: `right`, `wrong`, or `None` for nothing."""
    verdicts = []
    for key, value in answer.items():
        if (name := plain_key(key)) in JUDGED:
            is_truth = name in TRUTHS and type(value) is int and value in (0, 1)
            verdicts.append(judge(name, bool(value) if is_truth else value))
    return "wrong" if "wrong" in verdicts else "right" if "right" in verdicts else None


def _is_rated(answer: dict) -> bool:
    return any(
        isinstance(value, bool | int | float) and _PLACES.isdisjoint(split_name(key)) for key, value in answer.items()
    )


def _is_mark(value: object) -> bool:
    """Return whether a value may say something about an answer: a number, a truth value or a word."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _MARK_CHARS)
