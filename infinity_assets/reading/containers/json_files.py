"""JSON, JSON Lines and JSON lists, told apart by content."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import orjson

from infinity_assets.reading import json_repair
from infinity_assets.reading.containers import base
from infinity_assets.reading.containers.base import BOM, Block, Feed, Record, as_json
from infinity_assets.reading.documents import items_of
from infinity_assets.reading.json_repair import DUPLICATE_KEYS, MALFORMED, TRUNCATED, Element, parse_lenient, recover
from infinity_assets.reading.streams import Opened
from infinity_assets.reading.structure import find_cuts, split_elements

LINES = (".jsonl", ".jsonlines", ".ndjson", ".jl")
"""Suffixes of JSON Lines files."""

LINE_BREAK = "line_break_in_record"

MAX_JOINED = 50
"""Maximum number of lines over which a record may be broken."""

_NOTHING = object()


OBJECTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*\"[^\"\n]{1,80}\"\s*:")
"""Matches the beginning of JSON objects, which some datasets publish as text."""


def split_json(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Cut JSON or JSON Lines into blocks. The content decides which it is, since each is published under either name.

    Lists and lines are cut; any other document is one block, however long.
    """
    head = feed.read(base.BLOCK)
    if feed.has_ended():
        if head.strip():
            yield Block(opened.file, "lines" if _is_one_line(opened, head) else "json", 0, head)
        return
    if _looks_like_lines(head):
        yield from _split_lines(opened, feed, head)
    elif head.removeprefix(BOM).lstrip().startswith(b"["):
        yield from _split_list(opened, feed, head)
    else:
        data = head + feed.read(sys.maxsize)
        yield Block(opened.file, "lines" if _is_one_line(opened, data) else "json", 0, data)


def _is_one_line(opened: Opened, data: bytes) -> bool:
    """Return whether a file with a suffix of JSON Lines is one object on one line, which makes it one record."""
    line = data.removeprefix(BOM).strip()
    return opened.suffix in LINES and line.startswith(b"{") and b"\n" not in line


def _split_lines(opened: Opened, feed: Feed, head: bytes) -> Iterator[Block]:
    first = 0
    data = head
    opening = head.removeprefix(BOM).lstrip()[:1]
    while data:
        # Cut only before a line that looks like a record, since a record may be broken over lines.
        end = data.rfind(b"\n" + opening) + 1 or data.rfind(b"\n") + 1
        while not end and not feed.has_ended() and len(data) < base.MAX_BLOCK:  # one line longer than a block
            start = len(data)
            data += feed.read(base.BLOCK)
            end = data.rfind(b"\n", start) + 1
        end = len(data) if feed.has_ended() else end or len(data)
        yield Block(opened.file, "lines", first, data[:end])
        first += data.count(b"\n", 0, end)
        data = data[end:] + feed.read(base.BLOCK)


def _split_list(opened: Opened, feed: Feed, head: bytes) -> Iterator[Block]:
    first = 0
    data = head.removeprefix(BOM).lstrip()[1:]
    while not feed.has_ended():
        cuts = find_cuts(data)
        if cuts.end is None and not cuts.commas.size and len(data) < base.MAX_BLOCK:  # an element longer than a block
            data += feed.read(base.BLOCK)
            continue
        end, count = (int(cuts.commas[-1]), cuts.commas.size) if cuts.commas.size else (0, 0)
        if not count or cuts.end is not None or not (cuts.regular or _is_list(data[:end])):
            end, count = _damaged_cut(data)
            if not count and len(data) < base.MAX_BLOCK:
                data += feed.read(base.BLOCK)
                continue
        if not count:  # the element has no end
            end = len(data)
            count = 1
        yield Block(opened.file, "list", first, data[:end].rstrip(b", \t\r\n"))
        first += count
        data = data[end:].lstrip(b", \t\r\n") + feed.read(base.BLOCK)
    yield Block(opened.file, "list", first, data)


def _is_list(data: bytes) -> bool:
    try:
        orjson.loads(b"[" + data + b"]")
    except orjson.JSONDecodeError:
        return False
    return True


def _damaged_cut(data: bytes) -> tuple[int, int]:
    """Return the start of the last element in a damaged part of a list, and the number of elements before it."""
    *before, last = recover(data, listed=True)
    return data.rfind(last.raw), len(before)


def _looks_like_lines(data: bytes) -> bool:
    """Return whether data has one record per line: one of the first lines is a record, or all begin like records.

    A list or document with one element per line differs in its first line, which is left open or ends with a comma.
    """
    lines = [line.strip() for line in data.removeprefix(BOM).split(b"\n", 20)[:20] if line.strip()]
    if len(lines) < 2 or lines[0].endswith((b"[", b"{")):
        return False
    opening = lines[0][:1]
    if opening not in (b"[", b"{"):
        return any(isinstance(_load(line), dict | list) for line in lines)
    kind = list if opening == b"[" else dict
    if isinstance(_load(lines[0]), kind):
        return True
    if lines[0].endswith(b","):
        return False
    if kind is dict and all(line.startswith((b'{"', b"{'")) for line in lines):
        return True
    others = (line for line in lines[1:] if not line.endswith(b","))
    return not lines[0].endswith(b":") and any(isinstance(_load(line), kind) for line in others)


def _load(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_lenient(line).value


def parse_json(block: Block) -> Iterator[Record]:
    """Yield the records of a whole JSON file."""
    data = block.data.removeprefix(BOM)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        yield from _parse_damaged(replace(block, data=data))
        return
    items = items_of(document)
    doubled = json_repair.find_duplicate_keys(data, items_of) if json_repair.has_lost_quotes(data, document) else ()
    yield from (
        Record(place, item, repair=DUPLICATE_KEYS if place in doubled else None) for place, item in enumerate(items)
    )


def _parse_damaged(block: Block) -> Iterator[Record]:
    """Yield the records of a file that is not strict JSON: lines, a repairable document or a damaged list."""
    if _looks_like_lines(block.data):
        yield from parse_lines(block)
        return
    body = block.data.lstrip()
    is_python = body.startswith(b"[") and body[1:].lstrip().startswith((b"{'", b"['", b"'"))
    whole = parse_lenient(block.data) if is_python or not body.startswith(b"[") else None
    if whole and not whole.error:
        # It is unknown which record needed the repair, so the last one stands for the file.
        items = items_of(whole.value)
        yield from (
            Record(place, item, repair=whole.repair if place == len(items) - 1 else None)
            for place, item in enumerate(items)
        )
    elif body.startswith(b"["):
        yield from _number_elements(recover(body[1:], listed=True), 0)
    elif (inner := json_repair.find_open_list(body)) and (found := _recover_list(inner)):
        yield from _number_elements(found, 0)
    else:
        found = list(recover(body, listed=False))
        if any(isinstance(element.value, dict | list) for element in found):
            yield from _number_elements(found, 0)
        else:  # prose, for example, is one record with an error, not one per line
            yield Record(
                0, raw=block.data, error=whole.error if whole else MALFORMED, message=whole.message if whole else None
            )


def _recover_list(inner: json_repair.OpenList) -> list[Element]:
    """Return the records of a document that contains a damaged list; [] if that list does not hold the records."""
    found = list(recover(inner.rest, listed=True))
    sound = [element for element in found if isinstance(element.value, dict | list)]
    members = inner.members
    if found and found[-1].message == json_repair.AFTER_THE_LIST:
        after = parse_lenient(b"{" + found[-1].raw.lstrip(b", \t\r\n")).value
        if isinstance(after, dict):
            members = members | after
            found.pop()
    items = items_of({**members, inner.key: [element.value for element in sound]})
    if not sound or len(items) < len(sound):
        return []
    if len(items) == len(sound):
        values = iter(items)
        return [
            element._replace(value=next(values)) if isinstance(element.value, dict | list) else element
            for element in found
        ]
    # List elements were split into records, so the bytes of the elements are not those of the records.
    return [*(Element(as_json(item), item) for item in items), *(element for element in found if element not in sound)]


def parse_list(block: Block) -> Iterator[Record]:
    """Yield the records of a block of list elements. The last block of a file also holds the text after them."""
    data = block.data
    try:
        data = b"[" + data + (b"" if block.last else b"]")
        items = orjson.loads(data)
    except orjson.JSONDecodeError:
        yield from _number_elements(recover(data[1:], listed=True), block.first)
        return
    doubled = json_repair.find_duplicate_keys(data, _as_list) if json_repair.has_lost_quotes(data, items) else ()
    for place, item in enumerate(items):
        yield Record(block.first + place, item, repair=DUPLICATE_KEYS if place in doubled else None)


def parse_lines(block: Block) -> Iterator[Record]:
    """Yield the records of JSON Lines: one per non-blank line, or several if the line holds several values."""
    lines = block.data.removeprefix(BOM).split(b"\n")
    parsed: list[object] = []
    for line in lines:
        try:
            parsed.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            parsed.append(_NOTHING)
    sound = [value for value in parsed if value is not _NOTHING]
    # One check of the whole block saves a check of each line if all lines are sound.
    doubles = len(sound) < len(lines) - (not lines[-1].strip()) or json_repair.has_lost_quotes(block.data, *sound)
    skip = 0
    for number, (line, value) in enumerate(zip(lines, parsed, strict=True)):
        if number < skip or not line.strip():
            continue
        position = block.first + number
        if value is not _NOTHING:
            doubled = doubles and json_repair.has_lost_quotes(line, value)
            doubled = doubled and json_repair.find_duplicate_keys(line, _as_single)
            repair = DUPLICATE_KEYS if doubled else None
            yield Record(position, value, line, repair)
            continue
        element, used = _parse_line(lines, number, block.last)
        skip = number + used
        if element.error == MALFORMED:
            several = list(recover(line, listed=False))
            if len(several) > 1 and any(isinstance(value_on_line.value, dict | list) for value_on_line in several):
                yield from (_to_record(position, value_on_line._replace(raw=line)) for value_on_line in several)
                continue
        yield _to_record(position, element)


def _parse_line(lines: list[bytes], number: int, last: bool) -> tuple[Element, int]:
    """Return the record that begins on an invalid line, and the number of lines that it covers."""
    element = parse_lenient(lines[number])
    if element.error != TRUNCATED:
        return element, 1
    for end in range(number + 2, min(number + MAX_JOINED, len(lines)) + 1):
        following = lines[end - 1]
        if following.lstrip().startswith((b'{"', b"{'")):
            break  # a record of its own
        joined = parse_lenient(b"\n".join(lines[number:end]))
        if isinstance(joined.value, dict | list):
            return joined._replace(repair=LINE_BREAK), end - number
        if joined.error != TRUNCATED:
            break
    ends_here = last and not any(line.strip() for line in lines[number + 1 :])
    return element if ends_here else element._replace(error=MALFORMED), 1


def _number_elements(found: Iterator[Element] | list[Element], first: int) -> Iterator[Record]:
    return (_to_record(first + place, element) for place, element in enumerate(found))


def _to_record(position: int, element: Element) -> Record:
    return Record(position, element.value, element.raw, element.repair, element.error, element.message)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _as_single(value: object) -> list[object]:
    return [value]


def describe_json(block: Block) -> str:
    """Return the name of the container that a whole JSON file turned out to be."""
    if _looks_like_lines(block.data):
        return "JSON Lines"
    return "JSON list" if block.data.removeprefix(BOM).lstrip().startswith(b"[") else "JSON"


def find_json_raw(block: Block, records: list[Record]) -> dict[int, bytes]:
    """Return the bytes of each record by its position; a record that is not an element of the file's list has none.

    An element counts only if it parses to the record's value. If the file is not one list, the result is empty.
    """
    data = block.data.removeprefix(BOM).strip()
    pieces = dict(enumerate(split_elements(data[1:]), block.first)) if data.startswith(b"[") else {}
    return {
        record.position: pieces[record.position]
        for record in records
        if record.position in pieces and _load(pieces[record.position]) == record.value
    }


def find_list_raw(block: Block, records: list[Record]) -> dict[int, bytes]:
    """Return, by position, the bytes of the records in a block of list elements."""
    pieces = dict(enumerate(split_elements(block.data.removeprefix(BOM).strip()), block.first))
    return {record.position: pieces[record.position] for record in records if record.position in pieces}
