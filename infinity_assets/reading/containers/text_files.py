"""Plain text."""

import re
from collections.abc import Iterator

from infinity_assets.reading.containers import base
from infinity_assets.reading.containers.base import BOM, Block, Feed, Record
from infinity_assets.reading.encodings import UNKNOWN_ENCODING, UNKNOWN_MESSAGE, decode_lines
from infinity_assets.reading.streams import Opened
from infinity_assets.reading.transcripts import is_script, split_dialogues

_BLANK_LINES = re.compile(rb"\n[ \t\r\f\v]*(?=\n)")


def split_text(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Cut plain text into blocks between paragraphs."""
    first = 0
    data = feed.read(base.BLOCK)
    while data:
        end = len(data)
        if not feed.has_ended():
            for match in _BLANK_LINES.finditer(data):
                end = match.end()
            if end == len(data):
                if len(data) < base.MAX_BLOCK:
                    data += feed.read(base.BLOCK)
                    continue
                end = data.rfind(b"\n") + 1 or end
        yield Block(opened.file, "text", first, data[:end])
        first += len(_paragraphs(data[:end]))
        data = data[end:] + feed.read(base.BLOCK)


def parse_text(block: Block) -> Iterator[Record]:
    """Yield the dialogues of a text if it holds nothing else, otherwise its paragraphs between blank lines.

    A script of several speakers is one record.
    """
    pieces = _paragraphs(block.data)
    if block.last and block.first == 0 and len(pieces) > 0:
        text, wrong = decode_lines(block.data)
        if UNKNOWN_ENCODING not in wrong.values() and (dialogues := split_dialogues(text) or [text] * is_script(text)):
            repair = "+".join(dict.fromkeys(wrong.values())) or None
            yield from (Record(place, dialogue, dialogue.encode(), repair) for place, dialogue in enumerate(dialogues))
            return
    for place, paragraph in enumerate(pieces):
        text, wrong = decode_lines(paragraph)
        if UNKNOWN_ENCODING in wrong.values():
            yield Record(block.first + place, raw=paragraph, error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
            continue
        repair = "+".join(dict.fromkeys(wrong.values())) or None
        yield Record(block.first + place, text.replace("\r\n", "\n").strip(), paragraph, repair)


def _paragraphs(data: bytes) -> list[bytes]:
    return [part.strip() for part in _BLANK_LINES.split(b"\n" + data.removeprefix(BOM)) if part.strip()]
