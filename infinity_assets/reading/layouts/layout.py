"""The registry of layouts, and `parse`, which reads a record with them."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from infinity_assets.reading.layouts.facts import REASONING, FactKeys, collect_facts, find_fact_keys, find_media
from infinity_assets.reading.layouts.tools import decode_arguments
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    ASKED,
    CONTEXTS,
    REQUESTS,
    SYSTEMS,
    Turn,
    load_json,
)
from infinity_assets.reading.names import NAMES, plain_key
from infinity_assets.reading.shapes import shape
from infinity_assets.rows.grammar import Message, Rejected, repair_roles
from infinity_assets.rows.schema import Kind

OPENINGS = frozenset(
    (*REQUESTS, "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat", "text")
)
"""Keys of the beginning of a conversation. If one is blank, the reason is `empty_turn`, not `unknown_layout`."""


class Draft(NamedTuple):
    """One conversation as a record has it, before its roles are repaired."""

    turns: list[Turn]
    kept: Mapping[str, object] | None = None
    kind: Kind | None = None
    """If `None`, the role of the last turn determines it."""


class Parsed(NamedTuple):
    """One conversation of a record, ready to become a row."""

    messages: list[Message]
    kind: Kind
    repair: str | None
    kept: Mapping[str, object] | None = None
    """Annotations: values beside the conversation, as JSON values by name."""


Reader = Callable[[Any], Sequence[Draft | Rejected] | None]


class Layout(NamedTuple):
    """A form of records and how to read it."""

    name: str
    asks: Callable[[frozenset[str]], bool] | None
    """Returns whether a record with these keys may have this form; `None` if the layout reads no objects."""
    read: Reader
    """Returns the conversations of a record, nearly always one, or `None` if its values do not have this form."""
    bare: tuple[type, ...]
    """Types of records other than objects that this layout reads."""
    answers: frozenset[str]
    """Keys of facts that hold the answer in this layout, and are therefore not kept."""


LAYOUTS: dict[str, Layout] = {}
"""The registry of layouts by name, in the order of trial."""


def layout(
    name: str,
    *groups: Iterable[str],
    asks: Callable[[frozenset[str]], bool] | None = None,
    bare: tuple[type, ...] = (),
    answers: Iterable[str] = (),
) -> Callable[[Reader], Reader]:
    """Register the decorated function as layout of records with a key of each group, or with keys that `asks` accepts.

    Give the keys in the form that `plain_key` returns.
    """
    wanted = [frozenset(group) for group in groups]
    accepts = asks or ((lambda keys: all(keys & group for group in wanted)) if wanted else None)

    def register(read: Reader) -> Reader:
        LAYOUTS[name] = Layout(name, accepts, read, bare, frozenset(answers))
        return read

    return register


def parse(value: object, layout: str | None = None) -> list[Parsed | Rejected]:
    """Return the outcomes of a record, at least one: its conversations, or the reason why there is none.

    A record with several conversations (self-instruct's instances, the questions of one paragraph) has one outcome for
    each.

    Args:
        value: The record.
        layout: Name of the only layout to try. Default: all layouts.
    """
    return parse_named(value, layout)[1]


def parse_named(value: object, layout: str | None = None) -> tuple[str | None, list[Parsed | Rejected]]:
    """Return the name of the layout that reads a record, or `None`, and the result of `parse`."""
    match = _find_layout(value, layout)
    if match is None:
        is_blank = isinstance(value, dict) and _is_blank(value, layout)
        return None, [Rejected("empty_turn") if is_blank else Rejected("unknown_layout", shape(value))]
    name, drafts = match
    keys = _plan(tuple(value)).facts if isinstance(value, dict) else None
    if keys is None or not isinstance(value, dict):
        return name, [_finish(draft) for draft in drafts]
    facts = collect_facts(value, keys, LAYOUTS[name].answers)
    media = find_media(value, keys)
    return name, [_finish(draft, facts, media) for draft in drafts]


def recognizes(value: object) -> bool:
    """Return whether a layout reads this value as one record, and not only a part of it."""
    return _find_layout(value, None, ("wrapped",)) is not None


def layout_of(value: object, layout: str | None = None) -> str | None:
    """Return the name of the layout with which `parse` reads a record, or `None` if no layout fits."""
    match = _find_layout(value, layout)
    return match[0] if match else None


def read_drafts(record: dict) -> Sequence[Draft | Rejected] | None:
    """Return the conversations of a record as the first layout that fits reads them, or `None`."""
    match = _find_layout(record, None)
    return match[1] if match else None


_DEEPER = frozenset(("wrapped", "text", "passage", "transcript"))
"""Layouts that do not read a record inside a record: nearly any object has such a form."""


def read_inner(record: dict) -> Sequence[Draft | Rejected] | None:
    """Return the conversations of a record inside a record, with its facts as annotations, or `None`."""
    match = _find_layout(record, None, _DEEPER)
    if match is None:
        return None
    name, drafts = match
    keys = _plan(tuple(record)).facts
    if keys is None:
        return drafts
    if media := find_media(record, keys):
        return [Rejected("non_text_content", f"`{media}` is not empty")]
    facts = collect_facts(record, keys, LAYOUTS[name].answers)
    return [
        draft if isinstance(draft, Rejected) else draft._replace(kept={**facts, **(draft.kept or {})})
        for draft in drafts
    ]


class Plan(NamedTuple):
    """Facts about records with the same keys, cached."""

    candidates: tuple[Layout, ...]
    """The layouts to try."""
    names: dict[object, str] | None
    """The plain name (`plain_key`) of each key, or `None` if all keys are plain."""
    facts: FactKeys | None


@lru_cache(1024)
def _plan(keys: tuple[object, ...]) -> Plan:
    names: dict[object, str] = {}
    taken = {key for key in keys if isinstance(key, str) and plain_key(key) == key}
    for key in keys:
        name = plain_key(key)
        names[key] = str(key) if name in taken and name != key else name
        taken.add(name)
    for known, pattern in ((ANSWERS, _LIKE_ANSWER), (REQUESTS, _LIKE_REQUEST), (CONTEXTS, _LIKE_CONTEXT)):
        if known is CONTEXTS and not _asks(names.values()):
            continue
        alike = [key for key, name in names.items() if pattern.search(name) and not _OF_ANOTHER.match(name)]
        if len(alike) == 1 and taken.isdisjoint(known):
            names[alike[0]] = known[0]
    present = frozenset(names.values())
    candidates = tuple(candidate for candidate in LAYOUTS.values() if candidate.asks and candidate.asks(present))
    same = all(key is name or key == name for key, name in names.items())
    return Plan(candidates, None if same else names, find_fact_keys(names))


_LIKE_ANSWER = re.compile(r"(^|_)(answer|response|output|completion|solution|reply)s?(_text)?$")
_OF_ANOTHER = re.compile(
    rf"(?:{'|'.join((*SYSTEMS, *NAMES['chosen'], *NAMES['rejected'], *REASONING))})$"
    r"|(?:wrong|incorrect|bad|rejected|other|worse|worst|negative|false)_"
)
"""Matches keys that resemble one of an answer, a request or a context, and mean something else."""

_LIKE_CONTEXT = re.compile(
    r"(^|_)(?<!^code_)(context|passage|document|article|paragraph|story|body|background|scenario|narrative|excerpt|"
    r"vignette|situation)s?(_text)?$"
)
_QUESTIONS = frozenset(ASKED)
_REQUESTED = frozenset((*REQUESTS, "goal"))
_ANSWERED = frozenset((*ANSWERS, *NAMES["right_option"]))
_LIKE_REQUEST = re.compile(r"(^|_)(instruction|question|prompt|query|problem)(_text)?$")


def _asks(names: Collection[str]) -> bool:
    """Return whether a text beside these keys is a context: not a passage, nor the answer to a request without one."""
    return not _QUESTIONS.isdisjoint(names) or not (_REQUESTED.isdisjoint(names) or _ANSWERED.isdisjoint(names))


def _find_layout(
    value: object, forced: str | None, without: Collection[str] = ()
) -> tuple[str, Sequence[Draft | Rejected]] | None:
    """Return the name of the first layout that reads a value, and the drafts that it read."""
    if isinstance(value, dict):
        candidates, names, _ = _plan(tuple(value))
        record = {names[key]: content for key, content in value.items()} if names else value
    else:
        candidates = [known for known in LAYOUTS.values() if isinstance(value, known.bare)]
        record = value
    for candidate in candidates:
        if (
            candidate.name not in without
            and (forced is None or candidate.name == forced)
            and (drafts := candidate.read(record))
        ):
            return candidate.name, drafts
    return None


def _is_blank(record: dict, forced: str | None) -> bool:
    """Return whether a record has the keys of a layout, but its conversation begins with a blank value."""
    candidates, names, _ = _plan(tuple(record))
    names_tried = [candidate.name for candidate in candidates]
    if not (forced in names_tried if forced else set(names_tried) - {"passage", "transcript", "wrapped"}):
        return False
    openings = (value for key, value in record.items() if (names[key] if names else key) in OPENINGS)
    return any(load_json(value) in (None, [], {}) for value in openings)


def _finish(
    draft: Draft | Rejected, facts: Mapping[str, object] | None = None, media: object | None = None
) -> Parsed | Rejected:
    """Return a draft with its roles repaired, and with the facts of its record, or the reason why it is no row.

    Args:
        media: The key of the record's images, sounds or videos.
    """
    if isinstance(draft, Rejected):
        return draft
    if media is not None and draft.kind != "text":
        return Rejected("non_text_content", f"`{media}` is not empty")
    repaired = repair_roles(draft.turns)
    if isinstance(repaired, Rejected):
        return repaired
    messages, repair, masked = repaired
    for message in messages:
        if message["role"] == "assistant" and "<tool_call>" in message["content"]:
            message["content"] = decode_arguments(message["content"])
    kind = draft.kind or ("conversation" if messages[-1]["role"] == "assistant" else "instruction")
    kept = {**(facts or {}), **(draft.kept or {})}
    if kind != "conversation":
        kept.pop("verdict", None)
    if masked:
        kept["masked_turns"] = masked
    return Parsed(messages, kind, repair, kept or None)
