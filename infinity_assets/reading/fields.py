"""Fields of a sample of records of one shape: what their names and their values say about their meaning."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from infinity_assets.reading.layouts.values import alternatives, is_missing, text_of
from infinity_assets.reading.names import ASIAN, BEGINS, NameRole, read_name, split_name

_PLACES = frozenset(("id", "idx", "index", "start", "end", "offset", "position"))
"""Words in the names of numbers that do not say which answer is the best."""

MAX_DEPTH = 4
"""Maximum number of objects and lists around a field."""

MIN_SHARE = 0.5
"""Minimum share of the records that have a field."""

MAX_UNREAD = 0.1
"""Share of the texts at a path above which it counts as unread."""

MIN_OPTIONAL = 0.01
"""Minimum share of the records that have a context."""

_MOST = 0.8
"""Share of the values that decides what a field holds."""

_SAME_WORDS = 4
"""Minimum number of different words of a text that may repeat another one."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_DATA = re.compile(
    r"\s*(?:\w+://\S*|www\.\S+|[\w.+-]+@[\w-]+\.\w+|[-+]?[\d.,:/\-\sTZ%$€]+|[0-9a-fA-F-]{12,}|\S*[\d_/\\#@]\S*|true|false)\s*"
)
"""Matches an address, a number, a date, an id or a path."""

_QUESTION = re.compile(r"[?？؟;]\W*$|[?？؟]")


class Field:
    """A text or a number, at any depth, of records of one shape."""

    def __init__(self, path: str, place: int, texts: list[str | None], numeric: bool) -> None:
        self.path = path
        self.place = place
        """Place in the order of first appearance."""
        self.texts = texts
        """The text in each record, or `None` if it is missing."""
        self.is_numeric = numeric
        """True if the values are numbers and no texts."""

    @cached_property
    def present(self) -> list[str]:
        """The texts that are not missing."""
        return [text for text in self.texts if text is not None]

    @cached_property
    def length(self) -> float:
        """Mean number of characters."""
        return sum(map(len, self.present)) / len(self.present)

    @cached_property
    def words(self) -> float:
        """Mean number of words; four characters of a script without spaces count as two words."""
        return sum(len(text.split()) + len(ASIAN.findall(text)) / 2 for text in self.present) / len(self.present)

    @cached_property
    def distinct(self) -> float:
        """Share of different values."""
        return len(set(self.present)) / len(self.present)

    @cached_property
    def is_text(self) -> bool:
        """True if most values are words: no ids, addresses, dates, numbers or paths."""
        return not self.is_numeric and _share(self.present, lambda text: not _DATA.fullmatch(text)) >= _MOST

    @cached_property
    def is_running(self) -> bool:
        """True if most values have several words."""
        return self.is_text and _share(self.present, _is_running) >= MIN_SHARE

    @cached_property
    def is_constant(self) -> bool:
        """True if nearly all records have the same few values, as with a category or a fixed prompt."""
        return len(self.present) > 2 and self.distinct <= max(1 / len(self.present), 0.2)

    @cached_property
    def asks(self) -> float:
        """Share of the values that are questions or begin like requests."""
        return _share(self.present, _is_request)

    @cached_property
    def questions(self) -> float:
        """Share of the values with a question mark."""
        return _share(self.present, _QUESTION.search)

    @cached_property
    def name(self) -> NameRole | None:
        """The meaning of the field by its name, or `None` if the name says nothing."""
        return read_name(self.path)

    def is_in(self, other: "Field") -> bool:
        """Return whether the values, if they are longer than a word, are copied in those of another field."""
        pairs = [(a, b) for a, b in zip(self.texts, other.texts, strict=True) if a and b]
        return bool(pairs) and _share(pairs, lambda pair: pair[0].strip() in pair[1]) >= _MOST


def find_fields(records: Sequence[dict]) -> list[Field]:
    """Return the texts and numbers that at least half of the records have, in order of first appearance.

    A context may be rarer: many requests need none.
    """
    found: dict[str, dict[int, object]] = {}
    for number, record in enumerate(records):
        for path, value in _leaves(record, ""):
            found.setdefault(path, {})[number] = value
    fields = []
    for path, values in found.items():
        meaning = read_name(path)
        is_optional = meaning is not None and meaning.role in ("context", "maybe_request")
        if len(values) < (MIN_OPTIONAL if is_optional else MIN_SHARE) * len(records):
            continue
        texts = [text_of(values[number]) if number in values else None for number in range(len(records))]
        numeric = not any(isinstance(value, str) for value in values.values())
        fields.append(Field(path, len(fields), texts, numeric))
    return fields


def measure_association(first: Field, second: Field) -> float:
    """Return how much more words a field shares with another field of its record than with those of other records."""
    pairs = [(_content(a), _content(b)) for a, b in zip(first.texts, second.texts, strict=True) if a and b]
    if len(pairs) < 2:
        return 0.0
    own = sum(_overlap(a, b) for a, b in pairs)
    others = sum(_overlap(a, pairs[(place + 1) % len(pairs)][1]) for place, (a, _) in enumerate(pairs))
    return (own - others) / len(pairs)


def _content(text: str) -> set[str]:
    return {word[:6] for word in _WORD.findall(text.lower())} | set(ASIAN.findall(text))


def _overlap(first: set[str], second: set[str]) -> float:
    smaller = min(len(first), len(second))
    return len(first & second) / smaller if smaller else 0.0


def _leaves(value: object, path: str, depth: int = MAX_DEPTH) -> Iterator[tuple[str, object]]:
    """Yield the texts and numbers in a value with their paths.

    Of several answers the first is yielded; a list of other texts or of objects holds no single text.
    """
    if is_missing(value) or (
        isinstance(value, bool) and ((meaning := read_name(path)) is None or meaning.role != "answer")
    ):
        return
    if isinstance(value, str | int | float):
        yield path, value
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            if _is_step(key):
                yield from _leaves(inner, f"{path}.{key}" if path else str(key), depth - 1)
    elif isinstance(value, list) and path:
        meaning = read_name(path)
        if meaning and meaning.role in ("answer", "maybe_answer") and not _is_judged(value):
            yield from ((path, text) for text in (alternatives(value) or ())[:1])
        elif len(value) == 1 and isinstance(value[0], str):
            yield f"{path}.0", value[0]


def _is_judged(answers: list) -> bool:
    """Return whether answers have numbers or truth values beside them, so that the first may not be the best."""
    return any(
        isinstance(value, bool | int | float) and _PLACES.isdisjoint(split_name(key))
        for one in answers
        if isinstance(one, dict)
        for key, value in one.items()
    )


def _is_step(key: object) -> bool:
    """Return whether a key can be written in a path."""
    return isinstance(key, str) and key == key.strip() and not set("{}") & set(key) and all(key.split("."))


def _share(values: Iterable, holds) -> float:
    listed = list(values)
    return sum(map(bool, map(holds, listed))) / len(listed) if listed else 0.0


def _is_running(text: str) -> bool:
    return len(text.split()) > 1 or len(ASIAN.findall(text)) > 2


def _is_request(text: str) -> bool:
    first = _WORD.search(text[:100]) or re.search(r"[^\W\d_]+", text[:100])
    return bool(_QUESTION.search(text)) or bool(first and first[0].lower() in BEGINS)


class Unread(NamedTuple):
    """Texts at a path that most rows leave out."""

    path: str
    is_running: bool
    """True if most records have several words there."""


def find_unread(records: Sequence[tuple[dict, str]]) -> list[Unread]:
    """Return the texts that many rows leave out and that differ from record to record.

    Args:
        records: Records with all that their rows and annotations hold.
    """
    counts: dict[str, list[int]] = {}
    values: dict[str, set[str]] = {}
    for record, reached in records:
        here: dict[str, list[str]] = {}
        for path, text in _all_texts(record, ""):
            here.setdefault(path, []).append(text)
        for path, texts in here.items():
            missed = [text for text in texts if text.strip() not in reached and not _repeats(text, reached)]
            one = counts.setdefault(path, [0, 0, 0])
            one[0] += bool(missed)
            one[1] += any(map(_is_running, missed))
            one[2] += 1
            values.setdefault(path, set()).update(texts)
    found = []
    for path, (missed, running, present) in counts.items():
        is_fixed = present > 2 and len(values[path]) <= 0.2 * present
        if missed > MAX_UNREAD * present and present >= MIN_OPTIONAL * len(records) and not is_fixed:
            found.append(Unread(path, 2 * running > present))
    return found


def unread_paths(record: dict, reached: str) -> set[str]:
    """Return the paths of the texts in a record that its rows and annotations neither hold nor repeat."""
    return {
        path for path, text in _all_texts(record, "") if text.strip() not in reached and not _repeats(text, reached)
    }


def _repeats(text: str, other: str) -> bool:
    """Return whether a text is another form of what a longer text says: nearly all of its words are there."""
    words = _content(text)
    return len(words) >= _SAME_WORDS and len(words & _content(other)) >= _MOST * len(words)


def _all_texts(value: object, path: str, depth: int = 6) -> Iterator[tuple[str, str]]:
    """Yield all texts in a value that are words, with their paths without list indices."""
    if isinstance(value, str):
        if value.strip() and not _DATA.fullmatch(value):
            yield path, value
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            yield from _all_texts(inner, f"{path}.{key}" if path else str(key), depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _all_texts(inner, path, depth - 1)
