"""The layouts by name, and the one entry that reads a record with them."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from infinity_assets.reading.layouts.values import ANSWERS, REQUESTS, SYSTEMS, Turn, first_of, loaded, plain_key
from infinity_assets.reading.suggest import shape
from infinity_assets.rows.grammar import Message, Rejected, repair_roles
from infinity_assets.rows.schema import Kind

LABELS = frozenset(
    (
        *(
            "label",
            "labels",
            "reward",
            "score",
            "rating",
            "quality",
            "is_correct",
            "correct",
            "correctness",
            "instruct_reward",
            "helpfulness",
        ),
        *("coherence", "complexity", "verbosity", "difficulty", "langdetect", "category", "task"),
    )
)
"""What a record says of its conversation: kept in every layout where it is a text, a number or a truth value."""

REASONING = ("reasoning", "reasoning_content")
"""Keys of the thoughts behind an answer, beside the answer: kept as `reasoning`."""

OPENINGS = frozenset(
    (*REQUESTS, "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat", "text")
)
"""Keys that hold the beginning of a conversation. A record where one of them is blank is empty rather than unknown."""


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
    answers: frozenset[str]
    """Labels that are the answer itself, and are not kept beside it."""


LAYOUTS: dict[str, Layout] = {}
"""The registry, in the order in which layouts are tried."""


def layout(
    name: str,
    *groups: Iterable[str],
    asks: Callable[[frozenset[str]], bool] | None = None,
    bare: tuple[type, ...] = (),
    answers: Iterable[str] = (),
) -> Callable[[Reader], Reader]:
    """Register a layout for records that have a key of each group, or whose keys `asks` accepts. Keys are in their plain form (`plain_key`)."""
    wanted = [frozenset(group) for group in groups]
    told = asks or ((lambda keys: all(keys & group for group in wanted)) if wanted else None)

    def register(read: Reader) -> Reader:
        LAYOUTS[name] = Layout(name, told, read, bare, frozenset(answers))
        return read

    return register


def parse(value: object, layout: str | None = None) -> list[Parsed | Rejected]:
    """What a record holds: at least one outcome. `layout` forces one by name.

    A record that holds several conversations (self-instruct's instances, the questions of one paragraph) has one outcome for each, and
    they all share the record's position.
    """
    found = _found(value, layout)
    if found is None:
        return [
            Rejected("empty_turn")
            if isinstance(value, dict) and _is_blank(value, layout)
            else Rejected("unknown_layout", shape(value))
        ]
    labels = _plan(tuple(value)).labels if isinstance(value, dict) else None
    said = _said(value, labels, LAYOUTS[found[0]].answers) if labels and isinstance(value, dict) else None
    return [_finished(draft, said) for draft in found[1]]


def recognises(value: object) -> bool:
    """Whether some layout reads this value as one record."""
    return _found(value, None) is not None


def layout_of(value: object, layout: str | None = None) -> str | None:
    """The name of the layout with which `parse` reads a record; null if none fits."""
    found = _found(value, layout)
    return found[0] if found else None


class Plan(NamedTuple):
    """How records with the same keys are read."""

    candidates: tuple[Layout, ...]
    """The layouts to try."""
    names: dict[object, str] | None
    """The keys' plain names, if they differ."""
    labels: dict[object, str]
    """The plain names of the keys that are kept in every layout."""


@lru_cache(1024)
def _plan(keys: tuple[object, ...]) -> Plan:
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
    same = all(key is name or key == name for key, name in names.items())
    labels = {key: name for key, name in names.items() if name in LABELS or name in REASONING}
    return Plan(candidates, None if same else names, labels)


_LIKE_ANSWER = re.compile(r"(^|_)(answer|response|output|completion|solution|reply)s?(_text)?$")
_LIKE_REQUEST = re.compile(r"(^|_)(instruction|question|prompt|query|problem)(_text)?$")


def _found(value: object, forced: str | None) -> tuple[str, list[Draft]] | None:
    """The name of the first layout that reads a value, and what it read."""
    if isinstance(value, dict):
        candidates, names, _ = _plan(tuple(value))
        record = {names[key]: content for key, content in value.items()} if names else value
    else:
        candidates, record = [known for known in LAYOUTS.values() if isinstance(value, known.bare)], value
    for candidate in candidates:
        if (forced is None or candidate.name == forced) and (drafts := candidate.read(record)):
            return candidate.name, drafts
    return None


def _said(record: dict, labels: dict[object, str], answers: frozenset[str]) -> dict[str, object]:
    """The labels of a record and the reasoning beside its answer, but for labels that are the answer."""
    said = {
        name: record[key]
        for key, name in labels.items()
        if name not in answers and isinstance(record[key], str | int | float)
    }
    thought = first_of(said, REASONING)
    for name in REASONING:
        said.pop(name, None)
    return said | {"reasoning": thought} if thought is not None else said


def _is_blank(record: dict, forced: str | None) -> bool:
    """Whether a layout asks for these keys, and finds nothing where the conversation should begin."""
    candidates, names, _ = _plan(tuple(record))
    if not any(
        candidate.name == forced if forced else candidate.name not in ("passage", "transcript")
        for candidate in candidates
    ):
        return False
    return any(
        loaded(value) in (None, [], {}) for key, value in record.items() if (names[key] if names else key) in OPENINGS
    )


def _finished(draft: Draft, said: Mapping[str, object] | None) -> Parsed | Rejected:
    repaired = repair_roles(draft.turns)
    if isinstance(repaired, Rejected):
        return repaired
    messages, repair = repaired
    kind = draft.kind or ("conversation" if messages[-1]["role"] == "assistant" else "instruction")
    return Parsed(messages, kind, repair, {**said, **(draft.kept or {})} if said else draft.kept)
