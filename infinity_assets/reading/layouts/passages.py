"""Layouts of one text: a transcript, or a passage, which is material for synthesis. Read when nothing else fits."""

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import with_system
from infinity_assets.reading.layouts.values import Turn, is_plain, text_of

TRANSCRIPT_KEYS = ("text", "plain_text", "chat", "conversations", "conversation", "dialogue", "dialog")
"""Keys of a conversation that is one text."""

BODIES = (
    "content",
    "contents",
    "document",
    "passage",
    "article",
    "body",
    "context",
    "paragraph",
    "story",
    "page_content",
    "raw_content",
    "markdown",
)
"""Keys of a passage, beside `text`."""

LONG = 100
"""Characters from which a value under one of these keys counts as a passage rather than as a remark."""


@layout("transcript", TRANSCRIPT_KEYS, bare=(str,))
def transcript(record: str | dict) -> list[Draft] | None:
    """A text with speaker marks, bare or under one of these names: see `transcripts`."""
    texts = [record] if isinstance(record, str) else map(record.get, TRANSCRIPT_KEYS)
    for text in texts:
        if isinstance(text, str) and (found := transcripts.turns_of(text)):
            turns: list[Turn] = [*found]
            return [Draft(with_system(record, turns) if isinstance(record, dict) else turns)]
    return None


@layout("text", ("text",), bare=(str,))
def text(record: str | dict) -> list[Draft] | None:
    """A passage: `text`, or a bare text."""
    value = record["text"] if isinstance(record, dict) else record
    return [Draft([("user", text_of(value))], kind="text")] if is_plain(value) else None


@layout("passage", BODIES)
def passage(record: dict) -> list[Draft] | None:
    """A long text under another name."""
    value = next((record[key] for key in BODIES if isinstance(record.get(key), str) and len(record[key]) >= LONG), None)
    return [Draft([("user", value)], kind="text")] if value else None
