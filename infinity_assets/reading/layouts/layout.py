"""The registry of layouts, and `parse`, which reads a record with them."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from infinity_assets.reading.layouts.facts import REASONING, FactKeys, collect_facts, find_fact_keys, find_media
from infinity_assets.reading.layouts.tools import decode_arguments
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    ASKED,
    CONTEXT_PARTS,
    CONTEXTS,
    PASSAGES,
    RATIONALES,
    REQUESTS,
    SYSTEMS,
    Turn,
    load_json,
)
from infinity_assets.reading.names import NAMES, plain_key, read_name
from infinity_assets.reading.shapes import shape
from infinity_assets.rows.grammar import Message, Rejected, repair_roles
from infinity_assets.rows.schema import Kind

OPENINGS = frozenset(
    (*REQUESTS, "messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat", "text")
)
"""Keys of the beginning of a conversation. If one is blank, the reason is `empty_turn`, not `unknown_layout`."""


UNREAD_CONTEXT = "unread_context"
"""Reason for a question about a text that no layout reads."""

_ASKING = frozenset(("question_answer", "query_response", "multiple_choice", "question_object", "context_pairs"))
"""Layouts of questions, which are often about a text beside them."""

_RUNNING = 40
"""Minimum length of a text that a question may be about, in characters."""

_SPACES = 6
"""Minimum number of spaces in such a text, unless it is in a script that may have none."""


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
    plan = _plan(tuple(value)) if isinstance(value, dict) else None
    if plan is None or not isinstance(value, dict):
        return name, [_finish(draft) for draft in drafts]
    if plan.doubtful and layout is None and name in _ASKING:
        key = _find_unread_context(value, plan.doubtful, drafts)
        if key is not None:
            why = f"the question may be about `{key}`: read it with `fields: {{context: {key}}}`, or leave it out with `layout: {name}`"
            return name, [Rejected(UNREAD_CONTEXT, why)] * len(drafts)
    keys = plan.facts
    if keys is None:
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
    doubtful: tuple[object, ...]
    """Keys of values that a question may be about, although no layout reads them as its context."""


@lru_cache(1024)
def _plan(keys: tuple[object, ...]) -> Plan:
    names: dict[object, str] = {}
    taken = {key for key in keys if isinstance(key, str) and plain_key(key) == key}
    for key in keys:
        name = plain_key(key)
        names[key] = str(key) if name in taken and name != key else name
        taken.add(name)
    for known, pattern in (
        (ANSWERS, _LIKE_ANSWER), (REQUESTS, _LIKE_REQUEST), (CONTEXTS, _LIKE_CONTEXT), (PASSAGES, _LIKE_PASSAGE),
    ):  # fmt: skip
        if known in (CONTEXTS, PASSAGES) and not _asks(names.values()):
            continue
        alike = [key for key, name in names.items() if pattern.search(name) and not _OF_ANOTHER.match(name)]
        if alike and taken.isdisjoint(known) and (len(alike) == 1 or known is CONTEXTS):
            names |= zip(alike, CONTEXT_PARTS if known is CONTEXTS else known, strict=False)
    present = frozenset(names.values())
    candidates = tuple(candidate for candidate in LAYOUTS.values() if candidate.asks and candidate.asks(present))
    same = all(key is name or key == name for key, name in names.items())
    return Plan(candidates, None if same else names, find_fact_keys(names), _find_doubtful(names))


def _find_doubtful(names: Mapping[object, str]) -> tuple[object, ...]:
    """Return the keys of values that a question may be about, although no layout reads them as its context.

    These are unknown keys before the question. What follows it is more often a remark, or the reasoning of the answer.
    """
    present = frozenset(names.values())
    tables = tuple(key for key, name in names.items() if name == "table")
    if _QUESTIONS.isdisjoint(present):
        return () if _LISTS.isdisjoint(present) else tables
    if not _KNOWN_CONTEXTS.isdisjoint(present):
        return tables
    before = takewhile(lambda item: item[1] not in _QUESTIONS, names.items())
    unknown = (
        key
        for key, name in before
        if name not in _VOCABULARY and ((role := read_name(str(key))) is None or role.role == "context")
    )
    return (*tables, *unknown)


def is_running(text: str) -> bool:
    """Return whether a text may be what a question is about."""
    return len(text) >= _RUNNING and (text.count(" ") >= _SPACES or not text.isascii())


def _find_unread_context(record: dict, keys: Iterable[object], drafts: Sequence[Draft | Rejected]) -> object | None:
    """Return the first of these keys whose value is running text, or a table, that is in no conversation."""
    texts = [text for draft in drafts if isinstance(draft, Draft) for _, text in draft.turns if text]
    for key in keys:
        value = record[key]
        if isinstance(value, str):
            if is_running(value) and not any(value.strip() in text for text in texts):
                return key
        elif isinstance(value, dict | list) and value and plain_key(key) == "table":
            return key
    return None


_LIKE_ANSWER = re.compile(
    r"(^|_)(answer|response|output|completion|solution|reply)s?(_text)?$"
    r"|^(assistant|model|bot|ai|agent|gpt|chatgpt|llm|chatbot)_(message|msg|text|utterance|turn|generation|says)$"
)
_OF_ANOTHER = re.compile(
    rf"(?:{'|'.join((*SYSTEMS, *NAMES['chosen'], *NAMES['rejected'], *REASONING))})$"
    r"|(?:wrong|incorrect|bad|rejected|other|worse|worst|negative|false|validated|num|is|has|no)_"
)
"""Matches keys that resemble one of an answer, a request or a context, and mean something else."""

_LIKE_CONTEXT = re.compile(
    r"(^|_)(?<!^code_)(context|passage|document|article|paragraph|story|body|background|scenario|narrative|excerpt|"
    r"vignette|situation)s?(_text)?$"
)
_LIKE_PASSAGE = re.compile(
    r"^(plot|tweet|abstract|knowledge|transcript|report|email|letter|news|lyrics|poem|chapter|scene|case|review_text|"
    r"(?:wiki|source|support|reference|reading)_(?:text|passage))$"
)
_QUESTIONS = frozenset(ASKED)
_LISTS = frozenset(("qas", "qa_pairs", "qa_list", "questions"))
"""Keys of several questions about one context."""

_REQUESTED = frozenset((*REQUESTS, "goal"))
_ANSWERED = frozenset((*ANSWERS, *NAMES["right_option"]))
_KNOWN_CONTEXTS = frozenset((*CONTEXT_PARTS, *CONTEXTS, *NAMES["context_lists"], *PASSAGES))
_VOCABULARY = frozenset((*(name for names in NAMES.values() for name in names), *SYSTEMS, *RATIONALES))
_LIKE_REQUEST = re.compile(
    r"(^|_)(instruction|question|prompt|query|problem)(_text)?$"
    r"|^(user|human|customer)_(input|message|msg|text|utterance|turn|request|says)$"
)


def _asks(names: Collection[str]) -> bool:
    """Return whether a text beside these keys is a context: not a passage, nor the answer to a request without one."""
    if not _LISTS.isdisjoint(names):
        return True
    return not _QUESTIONS.isdisjoint(names) or not (_REQUESTED.isdisjoint(names) or _ANSWERED.isdisjoint(names))


def _find_layout(
    value: object, forced: str | None, without: Collection[str] = ()
) -> tuple[str, Sequence[Draft | Rejected]] | None:
    """Return the name of the first layout that reads a value, and the drafts that it read."""
    if isinstance(value, dict):
        candidates, names, *_ = _plan(tuple(value))
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
    candidates, names, *_ = _plan(tuple(record))
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
