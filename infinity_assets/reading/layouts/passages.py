"""Layouts of one text: a transcript, or a passage, which is material for synthesis. They are tried last."""

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import add_system
from infinity_assets.reading.layouts.values import Turn, is_plain, text_of
from infinity_assets.reading.names import NAMES

TRANSCRIPT_KEYS = ("text", "plain_text", "chat", "conversations", "conversation", "dialogue", "dialog")
"""Keys of a conversation that is one text."""

BODIES = NAMES["passages"]
"""Keys of a passage other than `text`."""

_SPEAKERS = frozenset(("speaker", "role", "sender", "turn", "turn_id", "turn_idx", "utterance_id", "thread_ts"))
"""Keys of a message, which is no passage."""

LONG = 100
"""Minimum number of characters of a passage under one of `BODIES`. A shorter value is taken for a remark."""


@layout("transcript", TRANSCRIPT_KEYS, bare=(str,))
def transcript(record: str | dict) -> list[Draft] | None:
    """Read a text with speaker marks, bare or under a known key (see the module `transcripts`)."""
    texts = [record] if isinstance(record, str) else map(record.get, TRANSCRIPT_KEYS)
    for text in texts:
        if isinstance(text, str) and (parsed := transcripts.turns_of(text)):
            turns: list[Turn] = [*parsed]
            return [Draft(add_system(record, turns) if isinstance(record, dict) else turns)]
    return None


@layout("text", ("text",), bare=(str,))
def text(record: str | dict) -> list[Draft] | None:
    """Read a passage: the key `text`, or a record that is a text."""
    value = record["text"] if isinstance(record, dict) else record
    if isinstance(record, dict) and not _SPEAKERS.isdisjoint(record):
        return None  # a message of a conversation whose others are records of their own
    return [Draft([("user", text_of(value))], kind="text")] if is_plain(value) else None


@layout("passage", BODIES)
def passage(record: dict) -> list[Draft] | None:
    """Read a passage under one of `BODIES`."""
    value = next((record[key] for key in BODIES if isinstance(record.get(key), str) and len(record[key]) >= LONG), None)
    return [Draft([("user", value)], kind="text")] if value else None
