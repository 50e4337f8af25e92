"""Conversations whose messages are records of their own: trees (OpenAssistant) and tables of utterances.

Only here is a file of records held in memory, since the messages of a conversation may be anywhere in it.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import orjson

from infinity_assets.reading.containers import base
from infinity_assets.reading.containers.base import Block, Record, as_json
from infinity_assets.reading.layouts.chats import rank_of
from infinity_assets.reading.layouts.facts import JUDGEMENTS, LABELS, MEDIA, TRUTHS
from infinity_assets.reading.layouts.values import SYSTEMS, is_missing
from infinity_assets.reading.names import plain_key
from infinity_assets.rows.grammar import ROLES as NAMED_ROLES

GROUPS = (
    "conversation_id", "conv_id", "dialogue_id", "dialog_id", "chat_id", "session_id", "thread_id", "conversationid",
    "dialogueid", "dialogid", "conv", "session", "thread", "convid", "sessionid", "chatid",
)  # fmt: skip
"""Keys of the id of the conversation that a message belongs to."""

ORDERS = (
    "utterance_idx", "utterance_id", "utterance_index", "utterance_no", "turn_idx", "turn_id", "turn_index", "turn_no",
    "turn_number", "turn", "message_index", "message_idx", "message_no", "msg_idx", "turnid", "order", "seq",
)  # fmt: skip
"""Keys of the place of a message in its conversation."""

ROLES = ("role", "from", "speaker", "speaker_idx", "speaker_id", "sender", "author")
TEXTS = ("utterance", "text", "content", "message", "value")

_OF_ALL = frozenset((*SYSTEMS, *LABELS, *MEDIA, *TRUTHS, *JUDGEMENTS))
"""Keys that a conversation takes over from its messages if all have the same value."""

IN_FILE = ""
"""Key of the place of messages that have none, which are in the order of the file."""

NO_ROOT = "no_first_message"

_HINTS = [hint.encode() for hint in ("parent_id", *GROUPS)]
_ENDS = (b'id"', b'Id"', b'ID"')
"""Ends of a hint in JSON, where keys are quoted."""

_HEAD = 1 << 14


class _Keys(NamedTuple):
    """The keys of a message, as the file spells them."""

    group: str
    order: str
    """Place in the conversation, or the id of the message before it in a tree."""
    role: str
    text: str
    is_tree: bool


def join_messages(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield the blocks of a file unchanged, or blocks of conversations if its records are single messages."""
    first = next(blocks, None)
    if first is None:
        return
    keys = None
    head = first.data[:_HEAD]
    is_quoted = first.form not in ("arrow", "yaml")
    if not (is_quoted and not any(end in head for end in _ENDS)) and any(hint in head.lower() for hint in _HINTS):
        record = next(first.records(), None)
        keys = _find_keys(record.value) if record and record.error is None else None
    if keys is None:
        yield first
        yield from blocks
        return
    yield from _pack(first, keys, blocks)


def _find_keys(value: object) -> _Keys | None:
    """Return the keys of a message, or `None` if a record is none."""
    if not isinstance(value, dict):
        return None
    names = {plain_key(key): key for key in value}

    def find(*known: str) -> str | None:
        return next((names[name] for name in known if name in names), None)

    role, text = find(*ROLES), find(*TEXTS)
    if role is None or text is None or not isinstance(value[text], str) or isinstance(value[role], dict | list):
        return None
    if (own := find("message_id", "id")) and (parent := find("parent_id")):
        return _Keys(own, parent, role, text, True)
    group, order = find(*GROUPS), find(*ORDERS)
    if (
        group
        and order is None
        and plain_key(role) in ("role", "from")
        and str(value[role]).strip().lower() in NAMED_ROLES
    ):
        order = IN_FILE  # the messages are in order
    return _Keys(group, order, role, text, False) if group and order is not None else None


def _pack(first: Block, keys: _Keys, blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield blocks of the conversations, then the records that cannot be read, each with a position of its own."""
    sound: list[Record] = []
    damaged: list[Record] = []
    last = first
    for block in chain([first], blocks):
        last = block
        records = list(block.records())
        sound += [record for record in records if not record.error]
        damaged += block.with_raw([record for record in records if record.error])
    joined = _join_tree(sound, keys) if keys.is_tree else _join_sequence(sound, keys)
    lines: list[bytes] = []
    size = 0
    start = 0
    records = [*joined, *damaged]
    for place, record in enumerate(records):
        raw = as_json(record.value) if record.raw is None else record.raw
        lines.append(orjson.dumps([record.value, raw.decode("latin-1"), record.repair, record.error, record.message]))
        size += len(lines[-1])
        if size >= base.BLOCK or place == len(records) - 1:
            is_last = place == len(records) - 1
            yield replace(
                first, form="joined", first=start, data=b"\n".join(lines), last=is_last,
                fault=last.fault if is_last else None,
            )  # fmt: skip
            start, lines, size = place + 1, [], 0


def _join_sequence(records: list[Record], keys: _Keys) -> Iterator[Record]:
    """Yield the conversations in the order of their first messages."""
    groups: dict[str | int, list[dict]] = {}
    repairs: dict[str | int, list[str]] = {}
    for place, record in enumerate(records):
        value = record.value if isinstance(record.value, dict) else {}
        group = _id(value.get(keys.group)) or place
        groups.setdefault(group, []).append(value)
        repairs.setdefault(group, []).extend(filter(None, [record.repair]))
    named = plain_key(keys.role) in ("role", "from")
    for group, messages in groups.items():
        if keys.order != IN_FILE:
            messages.sort(key=lambda message: _place(message.get(keys.order)))
        turns = [
            {"role" if named else "speaker": message.get(keys.role), "content": message.get(keys.text)}
            for message in messages
        ]
        shared = {
            name: value
            for key, value in messages[0].items()
            if (name := plain_key(key)) in _OF_ALL and all(message.get(key) == value for message in messages)
        }
        if not named:
            turns = [{"speaker": str(turn["speaker"]), "utterance": turn["content"]} for turn in turns]
        yield Record(0, {"turns": turns, **shared}, repair="+".join(dict.fromkeys(repairs[group])) or None)


def _place(value: object) -> tuple[float, str]:
    try:
        return float(str(value)), ""
    except ValueError:
        return float("inf"), str(value)


def _join_tree(records: list[Record], keys: _Keys) -> Iterator[Record]:
    """Yield the best-ranked path of each tree, in the order of the first messages.

    Messages that were deleted or rejected in a review are on no path.
    """
    nodes = [record.value for record in records if isinstance(record.value, dict)]
    ids = {_id(node.get(keys.group)) for node in nodes} - {None}
    replies: dict[str | None, list[dict]] = {}
    for node in nodes:
        replies.setdefault(_id(node.get(keys.order)), []).append(node)
    roots = [node for node in nodes if _id(node.get(keys.order)) not in ids]
    for root in roots:
        path: list[dict] = []
        others = 0
        level = [root]
        while level and len(path) < len(nodes):
            kept = [node for node in level if not node.get("deleted") and node.get("review_result") is not False]
            others += len(level) - bool(kept)
            best = min(kept, key=rank_of, default=None)
            if best:
                path.append({"role": best.get(keys.role), "content": best.get(keys.text)})
            level = replies.get(_id(best.get(keys.group)), []) if best and not is_missing(best.get(keys.group)) else []
        yield Record(0, {"turns": path, "other_replies": others} if others else {"turns": path})
    reached: set[int] = set()
    waiting = roots
    while waiting:
        reached.update(map(id, waiting))
        names = {_id(node.get(keys.group)) for node in waiting} - {None}
        waiting = [reply for name in names for reply in replies.get(name, []) if id(reply) not in reached]
    for node in nodes:
        if id(node) not in reached:
            yield Record(0, node, error=NO_ROOT, message="the messages before it form a circle")


def _id(value: object) -> str | None:
    return None if is_missing(value) else str(value)
