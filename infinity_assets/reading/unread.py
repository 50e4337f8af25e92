"""Account of the keys of a source's records: how much of their values reached the rows, and what did not.

Layouts keep no books; values are compared. A text was read if it occurs in the messages or annotations that its record
became. A number, a truth value or a short text, which may occur there by chance, was read if the record without it
would be read differently. The texts under a record's own keys are all compared, values inside lists and objects only
in a sample of the records.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import polars as pl

from infinity_assets.reading.layouts import Parsed, Rejected
from infinity_assets.reading.layouts.values import load_json
from infinity_assets.rows import schema

UNREAD_SHARE = 0.05
"""Share of a key's characters, or of its records if it holds no running text, above which the key is called unread."""

EXAMPLE_CHARS = 120
"""Maximum number of characters of an example."""

_SHORT = 24
"""Length in characters below which a text may occur in a row by chance."""

_RUNNING = 40
"""Minimum length of running text in characters."""

_SPACES = 6
"""Minimum number of spaces in running text."""

_SAMPLE = 16
"""Number of texts of a key in a unit of work that are all looked at more closely; then one in as many is."""

_FIRST_LEAVES = 96
_EVERY = 32
"""Number of values inside lists and objects that are compared, for each key in a unit of work: so many at first, then
one for so many records."""

_TRIALS = 2
"""Number of records of a unit of work that are read again without a value, for each path."""

_LARGE = 100
"""Number of values of a record above which reading it again is slow. Each unit of work then tries other paths."""

_TURNS = 16
"""Number of units of work in which each path of large records is tried once."""

_DEPTH = 12
"""Maximum depth of values inside a value."""

_PATHS = 60
"""Maximum number of paths inside the values of a key. Further ones are counted together, as `…`."""

_PLACES = 20
"""Maximum number of places at which a text is looked for, so that a text of one repeated word takes no time."""

_REST = "…"

_DIGITS = re.compile(r"[0-9]+")

_COUNTS = ("read", "unread", "chars_read", "chars_unread", "pending", "chars_pending", "running", "judged")

PARTS = pl.Schema(
    {
        **dict.fromkeys(("source", "layout", "path", "example"), pl.String),
        **dict.fromkeys(_COUNTS, pl.Int64),
        **dict.fromkeys(("decides", "estimated"), pl.Boolean),
    }
)
"""Schema of the account of a unit of work; `combine` adds them up. There are numbers of records and of characters.
`pending` ones were read if the key `decides`, in any unit, how a record is read. Of `judged` texts, `running` are
running text."""

KeyPath = tuple[object, ...]
"""Keys from the record to a value; `None` stands for the elements of a list."""


class _Key:
    """The counts of a key, or of a path inside its values."""

    __slots__ = (
        *_COUNTS, "containers", "decides", "encoded", "example", "inside", "is_partial", "leaves", "sampled", "settled",
        "trials",
    )  # fmt: skip

    def __init__(self) -> None:
        self.read = self.unread = self.pending = self.chars_read = self.chars_unread = self.chars_pending = 0
        self.running = self.judged = self.trials = 0
        self.decides = self.settled = False
        """True if a record without a value was read differently, and true if no further record is tried."""
        self.is_partial = False
        """True if a text was found only in part, or in an annotation."""
        self.example: str | None = None
        self.containers = self.sampled = self.leaves = 0
        """Number of records with a list or an object, number of those that were looked into, and their values."""
        self.encoded = False
        """True if texts of the key hold lists or objects as JSON."""
        self.inside: dict[str, _Key] = {}

    def has_room(self) -> bool:
        """Return whether to look into the next list or object of the key."""
        return self.leaves <= _FIRST_LEAVES + self.containers // _EVERY


class Account:
    """Counts the values of a unit's records, and those that reached a row, by layout and key.

    Args:
        read: Returns the outcomes of a record, in the way in which the records of the account were read.
        unit: Number of the unit of work among those that `combine` will add up; `None` if there is only this one.
    """

    def __init__(self, read: Callable[[object], Sequence[Parsed | Rejected]], unit: int | None = None) -> None:
        self._read = read
        self._unit = unit
        self._layouts: dict[str, dict[object, _Key]] = {}
        self._records = 0

    def add(
        self, layout: str, record: object, outcomes: Sequence[Parsed | Rejected], more: Mapping[str, object]
    ) -> None:
        """Count the values of a record that became rows.

        Args:
            layout: Name of the layout that read the record.
            record: The record as it is in the file, before any mapping.
            outcomes: All outcomes of the record.
            more: Annotations of its rows beside those of the layout.
        """
        texts = [message["content"] for outcome in outcomes if type(outcome) is Parsed for message in outcome.messages]
        if not texts:
            return
        in_sample = self._records < _SAMPLE or self._records % _SAMPLE == 0
        self._records += 1
        keys = self._layouts.get(layout)
        if keys is None:
            keys = self._layouts[layout] = {}
        if not isinstance(record, dict):
            key = keys.setdefault("", _Key())
            self._add_value(key, record, (), record, _Reached(outcomes, texts, more), in_sample)
            return
        reached = None
        for name, value in record.items():
            key = keys.get(name)
            if key is None:
                key = keys[name] = _Key()
            elif value is None or value == "":
                continue
            elif not in_sample and type(value) is str:  # nearly all values end here, so that this costs little
                text = value.strip()
                size = len(text)
                if size < _SHORT:
                    if key.settled:
                        key.pending += 1
                        key.chars_pending += size
                        continue
                elif _is_in(texts, text):
                    key.read += 1
                    key.chars_read += size
                    continue
                elif key.settled and not key.is_partial and not key.encoded:
                    key.unread += 1
                    key.chars_unread += size
                    continue
            elif not in_sample and not key.has_room():
                key.containers += 1
                continue
            reached = reached or _Reached(outcomes, texts, more)
            self._add_value(key, record, (name,), value, reached, in_sample)

    def table(self, source: str) -> pl.DataFrame:
        """Return the account as a table of schema `PARTS`."""
        lines = [
            {"source": source, "layout": layout, **line}
            for layout, keys in self._layouts.items()
            for name, key in keys.items()
            for line in _lines(name, key)
        ]
        return pl.DataFrame(lines, schema=PARTS, orient="row")

    def _add_value(
        self, key: _Key, record: object, at: KeyPath, value: object, reached: "_Reached", in_sample: bool
    ) -> None:
        """Count the value of a key of a record, or a record that is no object."""
        if value is None or value == "":
            return
        if isinstance(value, str) and (in_sample or key.encoded) and value.lstrip()[:1] in ("[", "{"):
            loaded = load_json(value) if key.has_room() else value
            key.encoded = key.encoded or isinstance(loaded, list | dict)
            value = loaded if key.has_room() or not key.encoded else []
        if not isinstance(value, list | dict):
            self._count(key, record, at, (value,), reached, in_sample)
            return
        key.containers += 1
        if value and key.has_room():
            key.sampled += 1
            self._look_inside(key, record, at, value, reached)

    def _look_inside(self, key: _Key, record: object, at: KeyPath, value: object, reached: "_Reached") -> None:
        found: dict[str, tuple[KeyPath, list[object]]] = {}
        """The path of the first leaf, and all leaves, by the path as text."""
        for path, leaf in _leaves(value):
            shown = _format_path(path)
            if shown not in found and shown not in key.inside and len(key.inside) + len(found) >= _PATHS:
                path = (_REST,)
                shown = f".{_REST}"
            found.setdefault(shown, (path, []))[1].append(leaf)
        size = sum(len(leaves) for _, leaves in found.values())
        key.leaves += size
        for number, (shown, (path, leaves)) in enumerate(found.items()):
            inner = key.inside.get(shown)
            if inner is None:
                inner = key.inside[shown] = _Key()
            can_try = self._unit is None or size < _LARGE or (number + self._unit) % _TURNS == 0
            self._count(inner, record, (*at, *path), leaves, reached, True, can_try)

    def _count(
        self,
        key: _Key,
        record: object,
        path: KeyPath,
        values: Sequence[object],
        reached: "_Reached",
        in_sample: bool,
        can_try: bool = True,
    ) -> None:
        """Count the values that one record has at a path."""
        is_read = is_pending = False
        for value in values:
            text = value.strip() if isinstance(value, str) else ""
            size = len(text)
            if in_sample and size:
                key.judged += 1
                key.running += _is_running(text)
            if size < _SHORT:
                is_pending = True
                key.chars_pending += size
                continue
            chars_read = size if _is_in(reached.texts, text) else 0
            if not chars_read and (in_sample or key.is_partial):
                chars_read = reached.count_chars(text)
                key.is_partial = key.is_partial or chars_read > 0
            key.chars_read += chars_read
            key.chars_unread += size - chars_read
            if chars_read:
                is_read = True
            elif key.example is None:
                key.example = text[:EXAMPLE_CHARS]
        if is_pending and can_try and not key.settled and path[-1:] != (_REST,):
            key.trials += 1
            key.decides = not path or list(self._read(_without(record, path))) != list(reached.outcomes)
            key.settled = key.decides or key.trials == _TRIALS
            if key.example is None and not key.decides:
                key.example = str(values[0])[:EXAMPLE_CHARS]
        if is_read:
            key.read += 1
        elif is_pending:
            key.pending += 1
        else:
            key.unread += 1


class _Reached:
    """The texts that a record's rows and their annotations hold."""

    __slots__ = ("_all", "_more", "outcomes", "texts")

    def __init__(self, outcomes: Sequence[Parsed | Rejected], texts: list[str], more: Mapping[str, object]) -> None:
        self.outcomes = outcomes
        self.texts = texts
        self._more = more
        self._all: list[str] | None = None

    def count_chars(self, text: str) -> int:
        """Return the number of characters of a text that annotations hold, or an estimate of those in the rows."""
        if self._all is None:
            kept = [outcome.kept for outcome in self.outcomes if isinstance(outcome, Parsed) and outcome.kept]
            annotations = [leaf for value in (*kept, self._more) for _, leaf in _leaves(value) if isinstance(leaf, str)]
            self._all = [*self.texts, *annotations]
        if _is_in(self._all, text):
            return len(text)
        # A transcript holds all turns, and marks of speakers that are left out.
        if sum(map(len, self.texts)) + _SHORT * len(self.texts) >= len(text) and all(
            map(text.__contains__, self.texts)
        ):
            return len(text)
        parts = [
            len(part) for part in self._all if (len(part) >= _SHORT or 2 * len(part) >= len(text)) and part in text
        ]
        if parts:
            found = sum(parts)
            return len(text) if found + _SHORT * len(parts) >= len(text) else found
        if _is_in(self._all, json.dumps(text, ensure_ascii=False)[1:-1]):  # definitions of tools are written as JSON
            return len(text)
        middle = len(text) // 2
        probes = (text[:_SHORT], text[middle : middle + _SHORT], text[-_SHORT:])
        return len(text) * sum(any(probe in whole for whole in self._all) for probe in probes) // len(probes)


def _is_in(texts: list[str], part: str) -> bool:
    """Return whether one of the texts contains a part.

    Nearly always the part is the beginning or the end of a text. Elsewhere it is found by its first characters, because
    a search for all of them prepares more than it saves.
    """
    for text in texts:
        if text.startswith(part) or text.endswith(part):
            return True
    opening = part[:_RUNNING]
    for text in texts:
        at = text.find(opening)
        for _ in range(_PLACES):
            if at < 0 or text.startswith(part, at):
                break
            at = text.find(opening, at + 1)
        else:
            at = -1
        if at >= 0:
            return True
    return False


def combine(parts: pl.LazyFrame) -> pl.LazyFrame:
    """Add up the accounts of units of work, of schema `PARTS`, to a table of schema `schema.KEYS`."""
    return (
        parts.group_by("source", "layout", "path", maintain_order=True)
        .agg(pl.col(_COUNTS).sum(), pl.col("estimated", "decides").any(), pl.col("example").drop_nulls().first())
        .with_columns(
            records=pl.sum_horizontal("read", "unread", "pending"),
            chars=pl.sum_horizontal("chars_read", "chars_unread", "chars_pending"),
            read=pl.col("read") + pl.when("decides").then("pending").otherwise(0),
            chars_read=pl.col("chars_read") + pl.when("decides").then("chars_pending").otherwise(0),
            running_text=(pl.col("judged") > 0) & (2 * pl.col("running") >= pl.col("judged")),
        )
        .with_columns(
            example=pl.when((pl.col("read") < pl.col("records")) | (pl.col("chars_read") < pl.col("chars"))).then(
                pl.col("example")
            )
        )
        .select(list(schema.KEYS))
    )


def find_unread(keys: pl.LazyFrame) -> pl.LazyFrame:
    """Return the keys of which more than `UNREAD_SHARE` reached no row, running text with the most characters first.

    Args:
        keys: A table of schema `schema.KEYS`.

    Returns:
        The table with `chars_unread`, and with `share`: the unread part of the characters if the key holds running
        text, or else of the records.
    """
    unread = pl.col("chars") - pl.col("chars_read")
    of_records = 1 - pl.col("read") / pl.col("records")
    return (
        keys.with_columns(
            chars_unread=unread, share=pl.when("running_text").then(unread / pl.col("chars")).otherwise(of_records)
        )
        .filter(pl.col("share") > UNREAD_SHARE)
        .sort("running_text", "chars_unread", "records", "source", "path", descending=[True, True, True, False, False])
    )


def _lines(name: object, key: _Key) -> Iterator[dict[str, object]]:
    """Yield the lines of a key and of the paths inside its values."""
    if key.read or key.unread or key.pending:
        yield _line(key, str(name), 1, 1)
    for path, inner in key.inside.items():
        yield _line(inner, f"{name}{path}".removeprefix("."), key.containers, key.sampled)


def _line(key: _Key, path: str, records: int, sampled: int) -> dict[str, object]:
    """Return the line of a path; the counts of a sample are multiplied by the share of the records in it."""
    counts = {name: getattr(key, name) * records // sampled for name in _COUNTS}
    return {
        "path": path, "estimated": records > sampled, "example": key.example, "decides": key.decides, **counts,
    }  # fmt: skip


def _format_path(path: KeyPath) -> str:
    """Return a path as text, like `[].value`; numbers in keys, as in `turn_1`, become `*`."""
    return "".join("[]" if step is None else f".{_shorten_key(step)}" for step in path)


@lru_cache(4096)
def _shorten_key(key: object) -> str:
    return _DIGITS.sub("*", str(key))


def _leaves(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Yield each value that is no list or object, if it is not blank, with its path."""
    if isinstance(value, dict | list) and len(path) >= _DEPTH:
        yield (_REST,), str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, (*path, None))
    elif value is not None and value != "":
        yield path, value


def _without(value: object, path: KeyPath) -> object:
    """Return a copy of a value without what is at a path."""
    step, *rest = path
    value = load_json(value)
    if step is None and isinstance(value, list):
        return [_without(inner, tuple(rest)) for inner in value] if rest else []
    if not isinstance(value, dict):
        return None
    if step not in value:
        return value
    if rest:
        return {**value, step: _without(value[step], tuple(rest))}
    return {key: inner for key, inner in value.items() if key != step}


def _is_running(text: str) -> bool:
    """Return whether a text consists of several words: not an id, a path or a number."""
    has_words = len(text) >= _RUNNING and text.count(" ") >= _SPACES
    return has_words or (not text.isascii() and len(text.encode()) >= 2 * _RUNNING)  # not all scripts have spaces
