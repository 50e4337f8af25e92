"""Values of records: conversion to text, alternatives, and lookup by synonymous keys."""

import ast
import json
import re
import warnings
from collections.abc import Iterable
from typing import TypeGuard, TypeVar

import orjson

from infinity_assets.reading.names import NAMES

T = TypeVar("T")

Turn = tuple[object, str | None]
"""A role as named in the dataset, and its text, or `None` if the content is not text."""


ANSWERS = NAMES["answers"]
"""Keys of an answer, best first."""

REQUESTS = NAMES["requests"]
"""Keys of a request, best first."""

CONTEXTS = ("context", "passage", "document", "article", "paragraph", "story")
"""Keys of the context of a question."""

CONTEXT_PARTS = ("context", "context_2", "context_3", "context_4")
"""Keys of the context of a question that has several parts."""

CONTEXT_LISTS = NAMES["context_lists"]
"""Keys of several texts that are the context of a question."""

PASSAGES = ("text", "content", "input")
"""Keys of a text that is the context of a question if it stands beside one."""

ASKED = ("question", "query", "stem", "question_stem")
"""Keys of a question, which is answered rather than carried out."""

RATIONALES = ("rationale", "explanation", "chain_of_thought", "cot")
"""Keys of the steps that lead to an answer."""

SYSTEMS = (
    "system", "system_prompt", "system_message", "meta_instruction", "system_instruction", "systeminstruction",
)  # fmt: skip
"""Keys of a system prompt beside the turns."""


MISSING = frozenset(NAMES["missing"])
"""Texts, in lower case, that stand for a missing value."""

_LONGEST = max(map(len, MISSING)) + 2


def is_missing(value: object) -> bool:
    """Return whether a value is absent: null, NaN, empty, or a word for it such as `nan`, `N/A` and `<noinput>`."""
    if isinstance(value, str):
        return not value or (len(value) <= _LONGEST and value.strip().lower() in MISSING)
    return value is None or value == [] or (isinstance(value, float) and value != value)


def text_of(value: object) -> str | None:
    """Return a value as text, or `None` if a part is not text.

    Null and NaN become an empty text, and 48.0, which pandas makes of an integer in a column with gaps, becomes 48. The
    text parts of typed content are joined by newlines.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)
    if value is None or value == []:
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        texts = [text for part in value if isinstance(text := _text_part(part), str)]
        return "\n".join(texts) if len(texts) == len(value) else None
    return None


def _text_part(part: object) -> object:
    """Return the text of a part of typed content (`{"type": "text", "text": ...}` or `value`), else `None`."""
    if not isinstance(part, dict):
        return part
    return first_of(part, ("text", "value")) if part.get("type", "text") == "text" else None


def alternatives(value: object, depth: int = 3) -> list[str] | None:
    """Return the distinct texts of an answer, best first, or `None` if it is not text.

    A list holds alternatives unless it is typed content. SQuAD keeps them under `text`, TriviaQA the best one under
    `value`.
    """
    if isinstance(value, list | dict) and not depth:
        return None
    if isinstance(value, list) and value and not (isinstance(value[0], dict) and "type" in value[0]):
        texts = [text for item in value if not isinstance(item, list) for text in alternatives(item, depth - 1) or ()]
        return list(dict.fromkeys(texts)) or (None if any(value) else [])
    if isinstance(value, dict):
        if "spans" in value:  # DROP: the answer is all spans, or a number or a date
            return _texts_of_spans(value)
        # Here `None` is an answer: a dataset that lists answers has no need of a word for a missing one.
        inner = next((value[key] for key in ("text", "value", "content") if value.get(key) not in (None, "", [])), None)
        return alternatives(inner, depth - 1) if isinstance(inner, str | list) or value.get("text") == [] else None
    text = text_of(value)
    return None if text is None else [text] if text else []


def _texts_of_spans(value: dict) -> list[str]:
    spans = value["spans"]
    date = value.get("date")
    parts = [date.get(name) for name in ("day", "month", "year")] if isinstance(date, dict) else []
    text = ", ".join(spans) if list_of(spans, str) else text_of(value.get("number")) or " ".join(filter(None, parts))
    return [text] if text else []


def join_texts(*values: object) -> str | None:
    """Join values into one text with blank lines between them, or return `None` if one is not text."""
    texts = [text_of(value) for value in values]
    return (
        None
        if None in texts
        else "\n\n".join(
            _trim(text) if text[0].isspace() else text.rstrip() for text in texts if text and not text.isspace()
        )
    )


def _trim(text: str) -> str:
    """Return a text without blank lines and spaces around it, but with the indentation of the first of several lines."""
    trimmed = text.strip()
    return _BLANK_LINES.sub("", text).rstrip() if "\n" in trimmed else trimmed


def first_of(record: dict, keys: Iterable[str]) -> object:
    """Return the first value under these keys that is not missing, or `None`."""
    for key in keys:
        value = record.get(key)
        if value is not None and not is_missing(value):
            return value
    return None


def is_plain(value: object) -> bool:
    """Return whether a value is a text or a number."""
    return isinstance(value, str | int | float)


def list_of(value: object, kind: type[T]) -> TypeGuard[list[T]]:
    """Return whether a value is a non-empty list of only this type."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def load_json(value: object, opens: str = "[{a") -> object:
    """Parse a text as JSON, or as Python or NumPy write a list, if it begins with one of the characters `opens`.

    Any other value is returned unchanged.
    """
    if isinstance(value, str) and (first := value.lstrip()[:1]) and first in opens:
        try:
            return value if first == "a" and not value.startswith("array(") else orjson.loads(value)
        except orjson.JSONDecodeError:
            return _read_repr(value) if _REPR.match(value) else value
    return value


_BLANK_LINES = re.compile(r"^(?:[^\S\n]*\n)+")
_REPR = re.compile(r"\s*(?:array\()?[\[{]\s*(?:['\"\[({]|array\()")
_ARRAY = re.compile(r"\barray\(|,\s*dtype=\w+\)|(?<=[\]])\)")
_NEXT_OBJECT = re.compile(r"(?<=\})\s*\n\s*(?=\{)")
_ADJACENT = re.compile(r"""['"]\s+['"]""")
_WORDS_ONLY = re.compile(r"""\s*\[\s*(?:(?:'[^']*'|"[^"]*")\s*)+\]\s*""")


def _read_repr(text: str) -> object:
    """Return the value that Python's or NumPy's `repr` of lists and objects stands for, or the text if it is neither."""
    if _WORDS_ONLY.fullmatch(text):  # NumPy writes no commas between texts
        return [single or double for single, double in re.findall(r"""'([^']*)'|"([^"]*)\"""", text)]
    written = _NEXT_OBJECT.sub(", ", _ARRAY.sub("", text) if "array(" in text else text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = text if _ADJACENT.search(written) else ast.literal_eval(written.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return text
    return value if isinstance(value, list | dict) else text


def as_json(value: object) -> str | None:
    """Return a text stripped and any other value as JSON, or `None` if it is nested too deep.

    Keys with the value null are left out, because Arrow gives every object the keys of all others.
    """
    if isinstance(value, str):
        return value.strip()
    try:
        return json.dumps(_drop_nulls(value), ensure_ascii=False, default=str)
    except (RecursionError, ValueError, TypeError):
        return None


def _drop_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _drop_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_drop_nulls(item) for item in value] if isinstance(value, list) else value
