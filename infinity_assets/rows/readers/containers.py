"""From the bytes of a file to its records, whatever they mean.

Grain: one `Record` per list element, line, CSV row or paragraph. Nothing here raises on content, and nothing is skipped but blank lines:
what cannot be read is a record with an error. A new container is one function in `CONTAINERS`.
"""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedIOBase, StringIO
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import orjson
import yaml

from infinity_assets.rows.readers.compression import DAMAGE, open_plain, plain_suffix
from infinity_assets.rows.readers.documents import items_of
from infinity_assets.rows.readers.json_repair import MALFORMED, TRUNCATED, parse_lenient, ran_off_end, recover_list

UNREADABLE = "unreadable_file"
INVALID_UTF8 = "invalid_utf8"
MALFORMED_ROW = "malformed_csv_row"

MAX_YAML_DEPTH = 100
"""No dataset is nested like that."""

_BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(r"\n\s*\n")
_END = "\0end of the file\0"
"""Handed to the CSV reader as a last line: where it ends up in a cell, a quote before it was never closed."""


class Record(NamedTuple):
    """One place in one file."""

    position: int
    """Index in the list, line number, CSV row or paragraph, from 0."""
    value: object | None = None
    """What was parsed. Meaningless if there is an error."""
    raw: str | None = None
    """The text in the file where nothing could be parsed."""
    repair: str | None = None
    """What had to be repaired to parse it, joined by `+`."""
    error: str | None = None
    """Why it could not be parsed: a reason, as it stands in `decisions`."""
    message: str | None = None
    """What the parser said."""

    @property
    def text(self) -> str:
        """The record as text: evidence for a decision."""
        return self.raw if self.raw is not None else as_json(self.value)


class TextLoader(yaml.CBaseLoader):
    """YAML in which a scalar is text or null: `- Yes` is a turn and `language: no` is Norwegian, not truth values."""


_NULL = "tag:yaml.org,2002:null"
TextLoader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
TextLoader.add_constructor(_NULL, lambda loader, node: None)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, in order. A file that cannot be decompressed or parsed ends in a record with the error `unreadable_file`."""
    position = 0
    try:
        with open_plain(path) as stream:
            for record in CONTAINERS[plain_suffix(path)](stream):
                yield record
                position = record.position + 1
    except (*DAMAGE, yaml.YAMLError, csv.Error, RecursionError) as error:
        yield Record(position, raw="", error=UNREADABLE, message=f"{type(error).__name__}: {error}")


def as_json(value: object) -> str:
    """Any parsed value as text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # nested deeper than orjson writes
        try:
            return repr(value)
        except RecursionError:
            return f"a {type(value).__name__}, nested too deep to show"


def load_yaml(text: str) -> object:
    """One YAML document of text, lists, mappings and nulls. Raises `yaml.YAMLError`."""
    depth = 0
    for event in yaml.parse(text, TextLoader):
        # The C composer recurses without a bound: deep nesting would end the process, not the parse.
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_YAML_DEPTH} levels")
    return yaml.load(text, TextLoader)


def _json(stream: BufferedIOBase) -> Iterator[Record]:
    """JSON or JSON Lines: the content decides, since files of each are published under the name of the other.

    Lines are streamed; a document is held in memory.
    """
    head: list[bytes] = []
    for line in stream:
        head.append(line)
        if line.strip():
            break
    else:
        return
    first, later = head[-1].removeprefix(_BOM), _first_filled(stream, head)
    if later and _is_object(first):
        yield from _lines(enumerate(chain(head, stream)))
    else:
        yield from _document(b"".join([*head, stream.read()]))


def _first_filled(stream: BufferedIOBase, head: list[bytes]) -> bool:
    """Read on to the next line that is not blank; false if there is none."""
    for line in stream:
        head.append(line)
        if line.strip():
            return True
    return False


def _is_object(line: bytes) -> bool:
    return isinstance(_parsed_line(0, line).value, dict)


def _lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    """JSON Lines. One record per line that is not blank."""
    cut: Record | None = None  # a line that ended too early; whether the file did shows when no other line follows
    try:
        for number, line in lines:
            if not line.strip():
                continue
            if cut:
                yield cut._replace(error=MALFORMED)
            record = _parsed_line(number, line)
            cut = record if record.error == TRUNCATED else None
            if not cut:
                yield record
    except DAMAGE:
        if cut:
            yield cut
        raise
    if cut:
        yield cut


def _parsed_line(number: int, line: bytes) -> Record:
    line = line.removeprefix(_BOM)
    try:
        return Record(number, orjson.loads(line))
    except orjson.JSONDecodeError:
        text, valid = _decoded(line)
    try:
        value, repair = parse_lenient(text)
        return _marked(Record(number, value, repair=repair), valid)
    except json.JSONDecodeError as error:
        return Record(number, raw=text.strip(), error=_fault(error), message=str(error))


def _fault(error: json.JSONDecodeError) -> str:
    return TRUNCATED if ran_off_end(error) else MALFORMED


def _document(data: bytes) -> Iterator[Record]:
    """One JSON value, or what can be recovered of it."""
    try:
        value = orjson.loads(data.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        text, valid = _decoded(data)
        if text.lstrip().startswith("[") and not _is_list_per_line(data):
            yield from (_marked(record, valid) for record in _recovered(text))
        else:
            yield from _object_or_lines(data, text, valid)
        return
    yield from (Record(position, item) for position, item in enumerate(items_of(value)))


def _is_list_per_line(data: bytes) -> bool:
    """Whether the first line is a whole list, as in JSON Lines of dialogues."""
    first, _, later = data.removeprefix(_BOM).lstrip().partition(b"\n")
    return bool(later.strip()) and isinstance(_parsed_line(0, first).value, list)


def _recovered(text: str) -> Iterator[Record]:
    elements, rest = recover_list(text)
    for position, (value, repair) in enumerate(elements):
        yield Record(position, value, repair=repair)
    if rest:
        yield Record(len(elements), raw=rest.text, error=rest.error, message=rest.message)


def _object_or_lines(data: bytes, text: str, valid: bool) -> Iterator[Record]:
    """A document that is no list and no strict JSON: an object to repair, or JSON Lines whose first line is damaged."""
    try:
        value, repair = parse_lenient(text)
    except json.JSONDecodeError as error:
        lines = list(_lines(enumerate(data.split(b"\n"))))
        if any(isinstance(line.value, dict | list) for line in lines):
            yield from lines
        else:
            yield Record(0, raw=text, error=_fault(error), message=str(error))
        return
    items = items_of(value)
    for position, item in enumerate(items):
        # Which of several records the comma stood in is not known here; the last one stands for the file.
        own = repair if position == len(items) - 1 else None
        yield _marked(Record(position, item, repair=own), valid)


def _csv(text: str) -> Iterator[Record]:
    """CSV with a header."""
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is less than one long answer
    rows = filter(None, csv.reader(chain(StringIO(text, newline=""), [_END])))
    columns, position = next(rows), -1
    for position, cells in enumerate(rows):
        if cells == [_END]:
            return
        if cells[-1].endswith(_END):
            raw = as_json([*cells[:-1], cells[-1].removesuffix(_END)])
            yield Record(position, raw=raw, error=MALFORMED_ROW, message="a quote that is not closed: the rest of the file is in this row")
        elif len(cells) > len(columns):  # an unquoted comma has cut a text in two
            yield Record(position, raw=as_json(cells), error=MALFORMED_ROW, message="more cells than columns")
        else:
            yield Record(position, dict(zip_longest(columns, cells)))
    if position < 0 and columns != [_END]:
        yield Record(0, raw=text, error=MALFORMED_ROW, message="a quote in the header that is not closed")


def _yaml(text: str) -> Iterator[Record]:
    """YAML, one document."""
    document = load_yaml(text)
    items = [] if document is None else items_of(document)
    return (Record(position, item) for position, item in enumerate(items))


def _paragraphs(text: str) -> Iterator[Record]:
    """Plain text: paragraphs between blank lines."""
    paragraphs = (paragraph.strip() for paragraph in _BLANK_LINES.split(text.replace("\r\n", "\n")))
    return (Record(position, paragraph) for position, paragraph in enumerate(filter(None, paragraphs)))


def _from_text(parse: Callable[[str], Iterator[Record]]) -> Callable[[BufferedIOBase], Iterator[Record]]:
    """A container that is parsed from the whole text of the file."""

    def read(stream: BufferedIOBase) -> Iterator[Record]:
        text, valid = _decoded(stream.read())
        return (_marked(record, valid) for record in parse(text))

    return read


def _decoded(data: bytes) -> tuple[str, bool]:
    """The text, and whether it was valid UTF-8; what was not is U+FFFD."""
    try:
        return data.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return data.decode("utf-8-sig", "replace"), False


def _marked(record: Record, valid: bool) -> Record:
    """The record; where its file was not valid UTF-8 and it holds a replacement character, with that repair."""
    if valid or record.error or "\ufffd" not in record.text:
        return record
    return record._replace(repair="+".join(filter(None, (record.repair, INVALID_UTF8))))


CONTAINERS: dict[str, Callable[[BufferedIOBase], Iterator[Record]]] = {
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
    ".csv": _from_text(_csv),
    ".yaml": _from_text(_yaml),
    ".yml": _from_text(_yaml),
    ".txt": _from_text(_paragraphs),
}
"""How a file is read, by its suffix."""
