"""Names that datasets use for keys and files, and what the name of a key says about its value."""

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from infinity_assets.rows.words import load_words

NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(words) for name, words in load_words(Path(__file__).with_name("names.yaml")).items()
}
"""Keys and file names by the name of their list in `names.yaml`."""

ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Matches a character of a script without spaces."""

_HINTS: dict[str, list[str]] = load_words(Path(__file__).with_name("hints.yaml"))
_ROLES = (
    "request", "answer", "maybe_request", "maybe_answer", "context", "system", "worse", "options", "beside", "facts",
)  # fmt: skip
_MEANINGS = {word: role for role in reversed(_ROLES) for word in _HINTS[role]}
"""The role of each word in names."""

_UNSPACED = sorted((word for word in _MEANINGS if ASIAN.match(word)), key=len)
"""Words of scripts without spaces, the longest last."""

_WHOLE = {
    **{name: "request" for name in NAMES["requests"] if name not in _HINTS["maybe_request"] and "input" not in name},
    **{name: "answer" for name in NAMES["answers"] if name not in _HINTS["maybe_answer"]},
    **dict.fromkeys(NAMES["tests"], "beside"),
}
"""The role of whole names."""

_PLAIN = frozenset(_HINTS["plain"])
_EARLIER = frozenset(_HINTS["earlier"])
BEGINS = frozenset(_HINTS["begins"])
"""Words with which requests begin, other than those that end with a question mark."""

_PARTS = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])")


@lru_cache(4096, typed=True)
def plain_key(key: object) -> str:
    """Return a key in the form that layouts use: lower case, words joined by `_`."""
    return str(key).strip().lower().replace(" ", "_").replace("-", "_")


class NameRole(NamedTuple):
    """The meaning of a field by its name."""

    role: str
    """One of the lists in `hints.yaml`, such as `request`, `maybe_answer` or `facts`."""
    is_earlier: bool
    """True if the text was changed or repeated elsewhere, as `original_question`."""


def read_name(path: str) -> NameRole | None:
    """Return the meaning of a field by the last word of its path that has one."""
    steps = [step for step in path.split(".") if not step.lstrip("-").isdecimal()]
    for step in reversed(steps[-2:]):
        name = plain_key(step)
        parts = split_name(step)
        is_earlier = not _EARLIER.isdisjoint(parts[:-1])
        if name in _WHOLE:
            return NameRole(_WHOLE[name], is_earlier)
        found = [role for part in parts if (role := _meaning(part))]
        found += [] if found or step.isascii() else [_MEANINGS[word] for word in _UNSPACED if word in step]
        marked = [role for role in found if role in ("worse", "system", "options")]
        decided = marked or [role for part in parts if part not in _PLAIN and (role := _meaning(part))]
        if decided or (found and (len(steps) == 1 or not step.isascii())):
            role = (decided or found)[-1]
            nouns = [part for part in parts if part not in _PLAIN]
            nouns_known = not nouns or not step.isascii() or _meaning(nouns[-1])
            if role == "context" and not nouns_known:  # `document_style`
                return None
            return NameRole(f"maybe_{role}" if role in ("request", "answer") and not nouns_known else role, is_earlier)
        if not _PLAIN.issuperset(parts):  # the key around it says nothing about one of several values in it
            return None
    return None


def _meaning(part: str) -> str | None:
    """Return the role of a part of a name, in the singular or the plural."""
    return _MEANINGS.get(part) or (_MEANINGS.get(part[:-1]) if part.endswith("s") else None)


def split_name(name: object) -> list[str]:
    """Return the words of a name in lower case."""
    return [part.lower() for part in _PARTS.findall(str(name))]
