"""The layouts by name, and the one entry that reads a record with them."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from infinity_assets.rows.grammar import Message, Rejected, repair_roles
from infinity_assets.rows.readers.layouts.values import ANSWERS, REQUESTS, SYSTEMS, Turn, plain_key
from infinity_assets.rows.readers.suggest import shape
from infinity_assets.rows.schema import Kind


class Draft(NamedTuple):
    """One conversation as it stands in a record."""

    turns: list[Turn]
    kept: Mapping[str, object] | None = None
    kind: Kind | None = None
    """Null: told by the last turn."""


class Parsed(NamedTuple):
    """One row's worth of a record."""

    messages: list[Message]
    kind: Kind
    repair: str | None
    kept: Mapping[str, object] | None = None
    """What the record says beside its conversation and the layout keeps: name to JSON value."""


Reader = Callable[[Any], list[Draft] | None]


class Layout(NamedTuple):
    """One form of data."""

    name: str
    asks: Callable[[frozenset[str]], bool] | None
    """Whether a record with these keys may be of this form; null if no object is."""
    read: Reader
    """The conversations of one record, nearly always one; null if its values are not of this form after all."""
    bare: tuple[type, ...]
    """Types of records that are no object, and that this layout reads as well."""


LAYOUTS: dict[str, Layout] = {}
"""The registry, in the order in which layouts are tried."""


def layout(
    name: str, *groups: Iterable[str], asks: Callable[[frozenset[str]], bool] | None = None, bare: tuple[type, ...] = ()
) -> Callable[[Reader], Reader]:
    """Register a layout for records that have a key of each group, or whose keys `asks` accepts. Keys are in their plain form (`plain_key`)."""
    wanted = [frozenset(group) for group in groups]
    told = asks or ((lambda keys: all(keys & group for group in wanted)) if wanted else None)

    def register(read: Reader) -> Reader:
        LAYOUTS[name] = Layout(name, told, read, bare)
        return read

    return register


def parse(value: object, layout: str | None = None) -> list[Parsed | Rejected]:
    """What a record holds: at least one outcome. `layout` forces one by name.

    A record that holds several conversations (self-instruct's instances, the questions of one paragraph) has one outcome for each, and
    they all share the record's position.
    """
    found = _found(value, layout)
    return [_finished(draft) for draft in found[1]] if found else [Rejected("unknown_layout", shape(value))]


def recognises(value: object) -> bool:
    """Whether some layout reads this value as one record."""
    return _found(value, None) is not None


def layout_of(value: object, layout: str | None = None) -> str | None:
    """The name of the layout with which `parse` reads a record; null if none fits."""
    found = _found(value, layout)
    return found[0] if found else None


@lru_cache(1024)
def _plan(keys: tuple[object, ...]) -> tuple[tuple[Layout, ...], dict[object, str] | None]:
    """The layouts to try for a record with these keys, and the keys' plain names if they differ."""
    names: dict[object, str] = {}
    taken = {key for key in keys if isinstance(key, str) and plain_key(key) == key}
    for key in keys:
        name = plain_key(key)
        names[key] = str(key) if name in taken and name != key else name
        taken.add(name)
    for known, pattern in ((ANSWERS, _LIKE_ANSWER), (REQUESTS, _LIKE_REQUEST)):
        alike = [key for key, name in names.items() if pattern.search(name) and name not in SYSTEMS]
        if len(alike) == 1 and not taken & known.keys():
            names[alike[0]] = next(iter(known))
    present = frozenset(names.values())
    candidates = tuple(candidate for candidate in LAYOUTS.values() if candidate.asks and candidate.asks(present))
    return candidates, None if all(key is name or key == name for key, name in names.items()) else names


_LIKE_ANSWER = re.compile(r"(^|_)(answer|response|output|completion|solution|reply)s?(_text)?$")
_LIKE_REQUEST = re.compile(r"(^|_)(instruction|question|prompt|query|problem)(_text)?$")


def _found(value: object, forced: str | None) -> tuple[str, list[Draft]] | None:
    """The name of the first layout that reads a value, and what it read."""
    if isinstance(value, dict):
        candidates, names = _plan(tuple(value))
        record = {names[key]: content for key, content in value.items()} if names else value
    else:
        candidates, record = [known for known in LAYOUTS.values() if isinstance(value, known.bare)], value
    for candidate in candidates:
        if (forced is None or candidate.name == forced) and (drafts := candidate.read(record)):
            return candidate.name, drafts
    return None


def _finished(draft: Draft) -> Parsed | Rejected:
    repaired = repair_roles(draft.turns)
    if isinstance(repaired, Rejected):
        return repaired
    messages, repair = repaired
    kind = draft.kind or ("conversation" if messages[-1]["role"] == "assistant" else "instruction")
    return Parsed(messages, kind, repair, draft.kept)
