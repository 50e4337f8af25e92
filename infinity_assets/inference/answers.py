"""Extraction of answers from what models write: without thoughts, marks of chat templates, fences and other words."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from infinity_assets.rows.grammar import DEBRIS

_NAMES = "think|thinking|thought|reasoning|reflection"
_THOUGHT = re.compile(rf"\s*<({_NAMES})>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"\s*(?:<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>)", re.IGNORECASE)
_CLOSED = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_HARMONY = re.compile(r"(?:<\|end\|>)?\s*(?:<\|start\|>assistant)?\s*$")
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_MARKS = (*DEBRIS, "</s>", "<|end|>", "<eos>", "<|im_sep|>")


class Written(NamedTuple):
    """A text of a model, taken apart."""

    answer: str
    """Empty if the model only thought."""
    thought: str | None
    """The reasoning before the answer."""


def take_apart(text: str) -> Written:
    """Separate the thoughts at the beginning of a text from the answer, and cut template marks at its end.

    A closing tag without an opening one also ends a thought: some servers add the opening one to the prompt. A thought
    that is not closed leaves no answer. A text with neither is returned unchanged.
    """
    whole = text
    thoughts: list[str] = []
    while match := _THOUGHT.match(text):
        thoughts.append(match[2])
        text = text[match.end() :]
    if not thoughts and (closed := _CLOSED.search(text)):
        opened = _OPENED.match(text)
        if opened or closed[0].startswith("</"):
            thoughts.append(_HARMONY.sub("", text[opened.end() if opened else 0 : closed.start()].rstrip()))
            text = text[closed.end() :]
    elif opened := _OPENED.match(text):
        thoughts.append(text[opened.end() :])
        text = ""
    answer = text.strip()
    if not thoughts and not answer.endswith(_MARKS):
        return Written(whole, None)
    while answer.endswith(_MARKS):
        mark = next(mark for mark in _MARKS if answer.endswith(mark))
        answer = answer.removesuffix(mark).rstrip()
    return Written(answer, "\n\n".join(filter(None, map(str.strip, thoughts))) or None)


def find_json(text: str) -> list[str]:
    """Return the texts that may be the JSON of an answer, the likeliest first: whole, in a fence, or between words."""
    places = [text, *_FENCE.findall(text)]
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            places.append(text[start : end + 1])
    return list(dict.fromkeys(places))


def find_choice(text: str, choices: Sequence[str]) -> str:
    """Return the choice that an answer names, or the answer if it names none, or several.

    The choice may be a JSON value, stand in an object, in a fence or in bold type, or be a word of a short answer.
    """
    for part in find_json(text):
        try:
            value: Any = orjson.loads(part)
        except ValueError:
            continue
        values = value.values() if isinstance(value, dict) else [value]
        named = {str(one).strip() for one in values} & set(choices)
        if len(named) == 1:
            return named.pop()
    words = {word for word in re.findall(r"\w+", text) if word in choices}
    return words.pop() if len(words) == 1 else text
