"""Shapes of records in no known layout, and suggestions of `source.yaml` lines that would make them fit."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import yaml

from infinity_assets.reading.names import NAMES

MAX_CHARS = 500
"""Maximum length of a shape in characters."""

REQUEST_HINTS = NAMES["request_hints"]
ANSWER_HINTS = NAMES["answer_hints"]
INPUT_HINTS = ("context", "input", "passage", "document", "background", "article")
TURN_HINTS = ("messages", "conversation", "dialog", "turns", "chat", "utterances")
"""Words in keys that hint at the meaning of the value, the most reliable first."""

TEMPLATE = """\
# No field could be guessed. Fill in a path (`meta.reply.0`) or a template (`"{title}: {body}"`) for each.
# layout: alpaca
# fields:
#   instruction: PATH
#   input: PATH
#   output: PATH"""

GUESSED = "# Guessed from names and lengths: check that each field holds what its name says."

JUDGING = ("label", "winner", "better", "safer", "prefer", "correct", "gold", "rank")
"""Words in the names of keys that tell the right one of several answers."""

_CANDIDATE = re.compile(r"^(.+?)(?:_?\d|_[a-d])$", re.IGNORECASE)


class Leaf(NamedTuple):
    """A text field, at any depth, of records of one shape."""

    path: str
    length: float
    """Mean number of characters."""


def shape(value: object) -> str:
    """Return the keys of a value with the types of their values, like `{title: text, meta: {reply: list of text}}`."""
    text = _shape(value, 3)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"


def suggest_lines(values: Iterable[object]) -> str:
    """Guess the lines of a `source.yaml` that map records to a layout, from a sample of the records.

    The result is `TEMPLATE`, a form to fill in, if nothing can be guessed, or if the records seem to hold several
    answers and a key that tells the right one.
    """
    records = [value for value in values if isinstance(value, dict)]
    turns = _turn_list(records)
    if turns:
        return _format_lines("openai", {"messages": turns})
    leaves = _leaves(records)
    if _are_candidates(records, leaves):
        return TEMPLATE
    answer = _best_hinted(leaves, ANSWER_HINTS)
    rest = [leaf for leaf in leaves if leaf is not answer]
    request = _best_hinted(rest, REQUEST_HINTS)
    if answer is None and request is None and len(leaves) > 1:
        # Without a hint in the names, requests come first and answers are longer.
        long = sorted(leaves, key=lambda leaf: -leaf.length)[:2]
        request, answer = sorted(long, key=leaves.index)
    elif answer is None and len(rest) > 1:
        answer = max((leaf for leaf in rest if leaf is not request), key=lambda leaf: leaf.length)
    elif request is None and rest:
        request = rest[0]
    if request is None or answer is None:
        only = request or answer
        return _format_lines("text", {"text": only.path}) if only and only.length > 0 else TEMPLATE
    more = _best_hinted([leaf for leaf in rest if leaf is not request], INPUT_HINTS)
    fields = {"instruction": request.path, **({"input": more.path} if more else {}), "output": answer.path}
    return _format_lines("alpaca", fields)


def _are_candidates(records: list[dict], leaves: list[Leaf]) -> bool:
    """Return whether records seem to hold several answers (`sol1`, `sol2`) and a key that tells the right one."""
    stems = [found[1].lower() for leaf in leaves if (found := _CANDIDATE.match(leaf.path))]
    judged = any(word in str(key).lower() for record in records[:1] for key in record for word in JUDGING)
    return judged and len(set(stems)) < len(stems)


def _format_lines(layout: str, fields: dict[str, str]) -> str:
    return "\n".join(
        (GUESSED, f"layout: {layout}", "fields:", *(f"  {name}: {_quote(path)}" for name, path in fields.items()))
    )


def _quote(path: str) -> str:
    """Return the path as a YAML scalar, quoted if needed."""
    bare = path.replace(".", "").replace("_", "").isalnum() and yaml.safe_load(path) == path
    return path if bare else json.dumps(path, ensure_ascii=not path.isprintable())


def _best_hinted(leaves: list[Leaf], hints: tuple[str, ...]) -> Leaf | None:
    """Return the leaf whose name contains the earliest of the hints. A hint of one letter must be the whole name."""
    for hint in hints:
        for leaf in leaves:
            names = [name.lower() for name in leaf.path.split(".") if not name.isdecimal()]
            if any(hint == name if len(hint) == 1 else hint in name for name in names[-2:]):
                return leaf
    return None


def _leaves(records: list[dict]) -> list[Leaf]:
    """Return the text fields that at least half of the records have, in order of appearance, without one-word ids."""
    lengths: dict[str, list[int]] = {}
    prose: set[str] = set()
    for record in records:
        for path, text in _texts(record, ""):
            lengths.setdefault(path, []).append(len(text))
            if len(text.split()) > 1 or (text and not text.isascii()):
                prose.add(path)
    common = {path: found for path, found in lengths.items() if 2 * len(found) >= len(records)}
    hinted = [Leaf(path, sum(found) / len(found)) for path, found in common.items()]
    return [leaf for leaf in hinted if leaf.path in prose or _best_hinted([leaf], ANSWER_HINTS[:8])]


def _texts(value: object, path: str, depth: int = 4) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}" if path else str(key), depth - 1)
    elif depth and isinstance(value, list) and value:
        yield from _texts(value[0], f"{path}.0", depth - 1)


def _turn_list(records: list[dict]) -> str | None:
    """Return the top-level key of a list of objects whose name suggests turns, or `None`."""
    for record in records[:1]:
        for key, value in record.items():
            named = any(hint in str(key).lower() for hint in TURN_HINTS)
            if named and isinstance(value, list) and value and isinstance(value[0], dict):
                return str(key)
    return None


def _shape(value: object, depth: int) -> str:
    if isinstance(value, dict):
        if not depth:
            return "{…}"
        return "{" + ", ".join(f"{key}: {_shape(inner, depth - 1)}" for key, inner in list(value.items())[:30]) + "}"
    if isinstance(value, list):
        return f"list of {_shape(value[0], depth - 1)}" if value and depth else "list"
    if value is None:
        return "null"
    return "text" if isinstance(value, str) else "truth value" if isinstance(value, bool) else "number"
