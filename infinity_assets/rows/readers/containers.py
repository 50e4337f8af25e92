"""From the bytes of a file to its records, whatever they mean.

A file is read in two halves. The first cuts its stream into blocks of whole records, in order, without looking at what they say: cheap, and
done in one place. The second parses a block, anywhere. Grain of the second: one `Record` per list element, line, table row or paragraph.

Nothing here raises on content, and nothing is skipped but blank lines: what cannot be read is a record with an error. A new container is
one function in `CONTAINERS`, and one in `_PARSERS` if its blocks are bytes of a new kind.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import IO, NamedTuple

import orjson
import yaml

from infinity_assets.rows.readers.documents import items_of
from infinity_assets.rows.readers.encodings import decode_lines
from infinity_assets.rows.readers.json_repair import (
    AFTER_THE_LIST,
    DUPLICATE_KEYS,
    MALFORMED,
    NUL_BYTES,
    TRUNCATED,
    Element,
    OpenList,
    duplicated,
    lost_quotes,
    open_list,
    parse_lenient,
    places_of,
    recover,
)
from infinity_assets.rows.readers.streams import CHUNK, DAMAGE, Opened, open_files
from infinity_assets.rows.readers.structure import element_cuts, elements
from infinity_assets.rows.readers.transcripts import split

UNREADABLE = "unreadable_file"
MALFORMED_ROW = "malformed_csv_row"
UNBALANCED_QUOTE = "unbalanced_quote"
MALFORMED_YAML = "malformed_yaml"
LINE_BREAK = "line_break_in_record"

BLOCK = 2 << 20
"""Bytes of a file that are cut off as one block; a smaller file is one block."""

MAX_BLOCK = 64 << 20
"""Bytes in which the end of a list element, or of a CSV row, must come. What has no end by then is read as damaged."""

MAX_YAML_DEPTH = 100
"""No dataset is nested like that."""

MAX_JOINED = 50
"""Lines that are put together to one record that was broken over them."""

_BOM = b"\xef\xbb\xbf"
_NOTHING = object()
_YAML_PARTS = re.compile(r"^---(?=\s)|^(?=- )", re.MULTILINE)
_BLANK_LINES = re.compile(rb"\n[ \t\r\f\v]*(?=\n)")


class Record(NamedTuple):
    """One place in one file."""

    position: int
    """Index in the list, line number, table row or paragraph, from 0."""
    value: object | None = None
    """What was parsed. Meaningless if there is an error."""
    raw: bytes | None = None
    """The bytes in the file; null where they are not at hand, see `Block.with_raw`."""
    repair: str | None = None
    """What had to be repaired to parse it, joined by `+`."""
    error: str | None = None
    """Why it could not be parsed: a reason, as it stands in `decisions`."""
    message: str | None = None
    """What the parser said."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of whole records of one file."""

    file: str
    form: str
    """What the data is: a key of `_PARSERS`."""
    first: int
    """Position of its first record."""
    data: bytes
    last: bool = True
    """Whether the file ends with it."""
    fault: str | None = None
    """What broke off the reading of the file behind it."""

    def records(self) -> Iterator[Record]:
        """Its records, in order, and one more with an error if the file could not be read on."""
        position, held = self.first, None
        try:
            for record in _PARSERS[self.form](self):
                if held:
                    yield held
                held, position = record, record.position + 1
        except (*DAMAGE, RecursionError, MemoryError) as error:
            if held:
                yield held
            yield Record(position, raw=self.data, error=UNREADABLE, message=_said(error))
            return
        if self.fault is None:
            if held:
                yield held
        elif held and (held.error == TRUNCATED or self._is_cut(held)):
            yield held._replace(error=UNREADABLE, message=self.fault)
        else:
            if held:
                yield held
            yield Record(position, raw=b"", error=UNREADABLE, message=self.fault)

    @property
    def container(self) -> str:
        """What the data turned out to be, in words, whatever the file is called."""
        if self.form != "json":
            return _CONTAINER_NAMES[self.form]
        if _looks_like_lines(self.data):
            return "JSON Lines"
        return "JSON list" if self.data.removeprefix(_BOM).lstrip().startswith(b"[") else "JSON"

    def _is_cut(self, last: Record) -> bool:
        """Whether the last record before a break may be the beginning of one."""
        return self.form in ("text", "yaml") or (self.form == "rows" and not (last.raw or b"").endswith((b"\n", b"\r")))

    def with_raw(self, records: list[Record]) -> list[Record]:
        """Some of its records with their bytes: as they stand in the file where that can be told, else the record as JSON."""
        pieces = _elements_of(self) if any(record.raw is None for record in records) else []

        def raw(record: Record) -> bytes:
            place = record.position - self.first
            if place < len(pieces) and (self.form == "list" or _loaded(pieces[place]) == record.value):
                return pieces[place]
            return as_json(record.value)  # a record that was made of parts of a document

        return [record if record.raw is not None else record._replace(raw=raw(record)) for record in records]


class TextLoader(yaml.CBaseLoader):
    """YAML in which a scalar is text or null: `- Yes` is a turn and `language: no` is Norwegian, not truth values."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.doubles: list[dict] = []
        """The mappings that name a key twice; the last value is the one that counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """The mapping."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            self.doubles.append(mapping)
        return mapping


_NULL = "tag:yaml.org,2002:null"
TextLoader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
TextLoader.add_constructor(_NULL, lambda loader, node: None)


def read_blocks(stream: IO[bytes], file: str, wanted: Callable[[str], bool]) -> Iterator[Block]:
    """The blocks of a file, or of all files in an archive.

    Args:
        stream: Its bytes.
        file: What it is called: its path in the source.
        wanted: Whether a path inside an archive is that of data.
    """
    opened = open_files(stream, file, wanted)
    while True:
        try:
            one = next(opened, None)
        except DAMAGE as error:  # an archive that breaks off is a file of its own, beside those in it
            yield Block(file, "lines", 0, b"", fault=_said(error))
            return
        if one is None:
            return
        yield from blocks_of(one)


def read_records(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Record]:
    """The records of a file, in order. A file that cannot be read to its end has a last record with the error `unreadable_file`."""
    with path.open("rb") as stream:
        for block in read_blocks(stream, path.name, wanted):
            yield from block.records()


def as_json(value: object) -> bytes:
    """Any parsed value as JSON, or as near to it as it comes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=repr)
    except TypeError:  # nested deeper than orjson writes
        try:
            return repr(value).encode(errors="replace")
        except RecursionError:
            return f"a {type(value).__name__}, nested too deep to show".encode()


def load_yaml(text: str) -> object:
    """One YAML document of text, lists, mappings and nulls. Raises `yaml.YAMLError`."""
    documents, _ = _yaml_documents(text)
    if len(documents) > 1:
        raise yaml.YAMLError("there are several documents")
    return documents[0] if documents else None


class _Feed:
    """A stream that may break off: what was read before is not lost, and the fault is told at the end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.fault: str | None = None
        self._next = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
        parts, missing = [self._next], size - len(self._next)
        self._next = b""
        while missing > 0 and not self._ended:
            part = self._some(missing)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        try:
            part = (
                self._stream.read1(min(size, CHUNK)) if isinstance(self._stream, io.BufferedReader) else self._stream.read(min(size, CHUNK))
            )
        except DAMAGE as error:
            self.fault, part = _said(error), b""
        self._ended = not part
        return part

    def ended(self) -> bool:
        """Whether nothing follows."""
        if not self._next and not self._ended:
            self._next = self._some(1 << 16)
        return not self._next and self._ended


def blocks_of(opened: Opened) -> Iterator[Block]:
    """The blocks of one file with data. They come as they are asked for: who stops early has read no further than two blocks more."""
    feed = _Feed(opened.stream)
    split = CONTAINERS.get(opened.suffix, _split_json)
    held: Block | None = None
    for block in split(opened, feed):
        if held:
            yield replace(held, last=False)
        held = block
    if held:
        yield replace(held, fault=feed.fault)
    elif feed.fault:
        yield Block(opened.file, "lines", 0, b"", fault=feed.fault)


# --- the first half: streams into blocks ----------------------------------------------------------------------------------------------


def _split_json(opened: Opened, feed: _Feed) -> Iterator[Block]:
    """JSON or JSON Lines: the content decides, since files of each are published under the name of the other.

    A list and lines are cut into blocks; any other document is one block, however long.
    """
    head = feed.read(BLOCK)
    if feed.ended():
        if head.strip():
            yield Block(opened.file, "json", 0, head)
        return
    if _looks_like_lines(head):
        yield from _split_lines(opened, feed, head)
    elif head.removeprefix(_BOM).lstrip().startswith(b"["):
        yield from _split_list(opened, feed, head)
    else:
        yield Block(opened.file, "json", 0, head + feed.read(sys.maxsize))


def _looks_like_lines(data: bytes) -> bool:
    """Whether it is one record a line: one of the first lines is a whole record, or all look like damaged ones.

    A list or a document may have an element a line, too: its first line is left open, or goes on behind a comma.
    """
    lines = [line.strip() for line in data.removeprefix(_BOM).split(b"\n", 20)[:20] if line.strip()]
    if len(lines) < 2 or lines[0].endswith((b"[", b"{")):
        return False
    opening = lines[0][:1]
    if opening not in (b"[", b"{"):
        return any(isinstance(_loaded(line), dict | list) for line in lines)
    kind = list if opening == b"[" else dict
    if isinstance(_loaded(lines[0]), kind):
        return True
    if lines[0].endswith(b","):
        return False
    if kind is dict and all(line.startswith((b'{"', b"{'")) for line in lines):
        return True
    return not lines[0].endswith(b":") and any(isinstance(_loaded(line), kind) for line in lines[1:] if not line.endswith(b","))


def _loaded(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_lenient(line).value


def _split_lines(opened: Opened, feed: _Feed, head: bytes) -> Iterator[Block]:
    first, data = 0, head
    opening = head.removeprefix(_BOM).lstrip()[:1]
    while data:
        # A record that is broken over lines is not cut where the next line does not look like a record.
        end = data.rfind(b"\n" + opening) + 1 or data.rfind(b"\n") + 1
        while not end and not feed.ended() and len(data) < MAX_BLOCK:  # one line longer than a block
            start = len(data)
            data += feed.read(BLOCK)
            end = data.rfind(b"\n", start) + 1
        end = len(data) if feed.ended() else end or len(data)
        yield Block(opened.file, "lines", first, data[:end])
        first += data.count(b"\n", 0, end)
        data = data[end:] + feed.read(BLOCK)


def _split_list(opened: Opened, feed: _Feed, head: bytes) -> Iterator[Block]:
    first, data = 0, head.removeprefix(_BOM).lstrip()[1:]
    while not feed.ended():
        cuts = element_cuts(data)
        if cuts.end is None and not cuts.commas.size and len(data) < MAX_BLOCK:  # an element longer than a block
            data += feed.read(BLOCK)
            continue
        end, count = (int(cuts.commas[-1]), cuts.commas.size) if cuts.commas.size else (0, 0)
        if not count or cuts.end is not None or not (cuts.regular or _is_list(data[:end])):
            end, count = _damaged_cut(data)
            if not count and len(data) < MAX_BLOCK:
                data += feed.read(BLOCK)
                continue
        if not count:  # no end in sight
            end, count = len(data), 1
        yield Block(opened.file, "list", first, data[:end].rstrip(b", \t\r\n"))
        first += count
        data = data[end:].lstrip(b", \t\r\n") + feed.read(BLOCK)
    yield Block(opened.file, "list", first, data)


def _is_list(data: bytes) -> bool:
    try:
        orjson.loads(b"[" + data + b"]")
    except orjson.JSONDecodeError:
        return False
    return True


def _damaged_cut(data: bytes) -> tuple[int, int]:
    """Where the last element of a damaged run begins, and how many are before it."""
    *before, last = recover(data, listed=True)
    return data.rfind(last.raw), len(before)


def _split_text(opened: Opened, feed: _Feed) -> Iterator[Block]:
    """Plain text, cut between paragraphs."""
    first, data = 0, feed.read(BLOCK)
    while data:
        end = len(data)
        if not feed.ended():
            for match in _BLANK_LINES.finditer(data):
                end = match.end()
            if end == len(data):
                if len(data) < MAX_BLOCK:
                    data += feed.read(BLOCK)
                    continue
                end = data.rfind(b"\n") + 1 or end
        yield Block(opened.file, "text", first, data[:end])
        first += len(_paragraphs(data[:end]))
        data = data[end:] + feed.read(BLOCK)


def _split_whole(opened: Opened, feed: _Feed) -> Iterator[Block]:
    """A file that can only be parsed as a whole: YAML."""
    data = feed.read(sys.maxsize)
    if data.strip():
        yield Block(opened.file, "yaml", 0, data)


def _split_csv(opened: Opened, feed: _Feed) -> Iterator[Block]:
    """CSV or TSV with a header: parsed here, since where a row ends only parsing tells. A block is the rows as JSON."""
    rows = csv_rows(_lines_of(feed), tabs=opened.suffix == ".tsv")
    first, packed, size = 0, [], 0
    for row in rows:
        line = orjson.dumps([row.value, (row.raw or b"").decode("latin-1"), row.repair, row.error, row.message])
        packed.append(line)
        size += len(line)
        if size >= BLOCK:
            yield Block(opened.file, "rows", first, b"\n".join(packed))
            first, packed, size = first + len(packed), [], 0
    if packed:
        yield Block(opened.file, "rows", first, b"\n".join(packed))


def _split_table(opened: Opened, feed: _Feed) -> Iterator[Block]:
    """Parquet or Arrow, told by the content. A block is a batch of rows as an Arrow stream."""
    import pyarrow as pa

    stream = opened.stream if opened.stream.seekable() else io.BytesIO(feed.read(sys.maxsize))
    first = 0
    try:
        for batch in _batches(stream):
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            yield Block(opened.file, "arrow", first, sink.getvalue())
            first += batch.num_rows
    except (pa.ArrowException, *DAMAGE) as error:
        feed.fault = _said(error)


def _batches(stream: IO[bytes]) -> Iterator:
    import pyarrow as pa
    import pyarrow.parquet as pq

    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"PAR1"):
        with pq.ParquetFile(stream) as file:
            yield from file.iter_batches(batch_size=5000)
        return
    reader = pa.ipc.open_file(stream) if magic == b"ARROW1" else pa.ipc.open_stream(stream)
    batches = (reader.get_batch(number) for number in range(reader.num_record_batches)) if magic == b"ARROW1" else reader
    for batch in batches:
        batch.validate(full=True)  # the library trusts offsets: of a damaged file they would end the process
        yield from (batch.slice(start, 5000) for start in range(0, batch.num_rows, 5000))


# --- the second half: blocks into records ---------------------------------------------------------------------------------------------


def _parse_json(block: Block) -> Iterator[Record]:
    """A whole file of JSON."""
    data = block.data.removeprefix(_BOM)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        yield from _parse_damaged(replace(block, data=data))
        return
    items = items_of(document)
    doubled = duplicated(data, items_of) if lost_quotes(data, document) else ()
    yield from (Record(place, item, repair=DUPLICATE_KEYS if place in doubled else None) for place, item in enumerate(items))


def _parse_damaged(block: Block) -> Iterator[Record]:
    """A whole file that is no strict JSON: lines, one document to repair, or what can be recovered of a list."""
    if _looks_like_lines(block.data):
        yield from _parse_lines(block)
        return
    body = block.data.lstrip()
    whole = parse_lenient(block.data) if not body.startswith(b"[") or body[1:].lstrip().startswith((b"{'", b"['", b"'")) else None
    if whole and not whole.error:
        # Which of several records the repair belongs to is not known here; the last one stands for the file.
        items = items_of(whole.value)
        yield from (Record(place, item, repair=whole.repair if place == len(items) - 1 else None) for place, item in enumerate(items))
    elif body.startswith(b"["):
        yield from _numbered(recover(body[1:], listed=True), 0)
    elif (inner := open_list(body)) and (found := _recovered(inner)):
        yield from _numbered(found, 0)
    else:
        found = list(recover(body, listed=False))
        if any(isinstance(element.value, dict | list) for element in found):
            yield from _numbered(found, 0)
        else:  # prose, say: one record, not one for each line that is none
            yield Record(0, raw=block.data, error=whole.error if whole else MALFORMED, message=whole.message if whole else None)


def _recovered(inner: OpenList) -> list[Element]:
    """The records of a document with a damaged list of objects in it; none if that list is not what holds them."""
    found = list(recover(inner.rest, listed=True))
    sound = [element for element in found if isinstance(element.value, dict | list)]
    members = inner.members
    if found and found[-1].message == AFTER_THE_LIST:
        after = parse_lenient(b"{" + found[-1].raw.lstrip(b", \t\r\n")).value
        if isinstance(after, dict):
            members = members | after
            found.pop()
    items = items_of({**members, inner.key: [element.value for element in sound]})
    if not sound or len(items) < len(sound):
        return []
    if len(items) == len(sound):
        values = iter(items)
        return [element._replace(value=next(values)) if isinstance(element.value, dict | list) else element for element in found]
    # Records were taken apart: theirs are no longer the list's bytes.
    return [*(Element(as_json(item), item) for item in items), *(element for element in found if element not in sound)]


def _parse_list(block: Block) -> Iterator[Record]:
    """A run of elements of a list; the last block of a file also has what follows them."""
    data = block.data
    try:
        data = b"[" + data + (b"" if block.last else b"]")
        items = orjson.loads(data)
    except orjson.JSONDecodeError:
        yield from _numbered(recover(data[1:], listed=True), block.first)
        return
    doubled = duplicated(data, _elements) if lost_quotes(data, items) else ()
    for place, item in enumerate(items):
        yield Record(block.first + place, item, repair=DUPLICATE_KEYS if place in doubled else None)


def _parse_lines(block: Block) -> Iterator[Record]:
    """JSON Lines. One record per line that is not blank; several where a line holds several."""
    lines = block.data.removeprefix(_BOM).split(b"\n")
    parsed: list[object] = []
    for line in lines:
        try:
            parsed.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            parsed.append(_NOTHING)
    sound = [value for value in parsed if value is not _NOTHING]
    # One look at the whole block spares one at each line, where nothing else is wrong with it.
    doubles = len(sound) < len(lines) - (not lines[-1].strip()) or lost_quotes(block.data, *sound)
    skip = 0
    for number, (line, value) in enumerate(zip(lines, parsed, strict=True)):
        if number < skip or not line.strip():
            continue
        position = block.first + number
        if value is not _NOTHING:
            repair = DUPLICATE_KEYS if doubles and lost_quotes(line, value) and duplicated(line, _alone) else None
            yield Record(position, value, line, repair)
            continue
        element, used = _parse_line(lines, number, block.last)
        skip = number + used
        if element.error == MALFORMED:
            several = list(recover(line, listed=False))
            if len(several) > 1 and any(isinstance(one.value, dict | list) for one in several):
                yield from (_record(position, one._replace(raw=line)) for one in several)
                continue
        yield _record(position, element)


def _parse_line(lines: list[bytes], number: int, last: bool) -> tuple[Element, int]:
    """The record that begins with a line that is no JSON, and how many lines it takes."""
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


def _parse_rows(block: Block) -> Iterator[Record]:
    for place, line in enumerate(block.data.split(b"\n")):
        value, raw, repair, error, message = orjson.loads(line)
        yield Record(block.first + place, value, raw.encode("latin-1"), repair, error, message)


def _parse_yaml(block: Block) -> Iterator[Record]:
    """YAML: the documents' records, one after the other."""
    text, wrong = decode_lines(block.data)
    repairs = "+".join(dict.fromkeys(wrong.values()))
    position = 0
    for part in _yaml_parts(text):
        if part.error:
            raw = block.data if part.text is text else part.text.encode()
            yield Record(position, raw=raw, error=UNREADABLE if part.text is text else MALFORMED_YAML, message=part.error)
            position += 1
            continue
        items = [item for document in part.documents if document is not None for item in items_of(document)]
        doubled = places_of(items, part.doubles)
        for place, item in enumerate(items):
            foreign = repairs and not as_json(item).isascii()  # which line it stood on is not known
            repair = "+".join(filter(None, (repairs if foreign else None, DUPLICATE_KEYS if place in doubled else None)))
            yield Record(position + place, item, repair=repair or None)
        position += len(items)


class _YamlPart(NamedTuple):
    """What could be read at one go."""

    text: str
    documents: list[object]
    doubles: list[dict]
    error: str | None = None


def _yaml_parts(text: str) -> Iterator[_YamlPart]:
    """A text of YAML as a whole; if it is damaged, by document and by element of a list."""
    try:
        yield _YamlPart(text, *_yaml_documents(text))
    except yaml.YAMLError as error:
        parts = [part for part in _YAML_PARTS.split(text) if part.strip()]
        if len(parts) < 2:
            yield _YamlPart(text, [], [], _said(error))
        else:
            for part in parts:
                yield from _yaml_parts(part)


def _parse_text(block: Block) -> Iterator[Record]:
    """Plain text: dialogues if it is nothing else, or else paragraphs between blank lines."""
    pieces = _paragraphs(block.data)
    if block.last and block.first == 0 and len(pieces) > 0:
        text, wrong = decode_lines(block.data)
        if dialogues := split(text):
            repair = "+".join(dict.fromkeys(wrong.values())) or None
            yield from (Record(place, dialogue, dialogue.encode(), repair) for place, dialogue in enumerate(dialogues))
            return
    for place, paragraph in enumerate(pieces):
        text, wrong = decode_lines(paragraph)
        repair = "+".join(dict.fromkeys(wrong.values())) or None
        yield Record(block.first + place, text.replace("\r\n", "\n").strip(), paragraph, repair)


def _parse_arrow(block: Block) -> Iterator[Record]:
    import pyarrow as pa

    with pa.ipc.open_stream(block.data) as reader:
        rows = reader.read_all().to_pylist()
    yield from (Record(block.first + place, row) for place, row in enumerate(rows))


def csv_rows(lines: Iterator[bytes], tabs: bool = False) -> Iterator[Record]:
    """The rows of a CSV text with a header, or of one whose first line is plainly none (then the columns are `column_0` and so on).

    A quote that is never closed costs its own line at most: that line is read as if quotes meant nothing, if it then has a cell for each
    column, and is an error otherwise.

    Args:
        lines: The text line by line, with their ends.
        tabs: Whether cells are separated by tabs, whatever the first line looks like.
    """
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is less than one long answer
    feed = _CsvLines(lines)
    head = feed.peek()
    delimiter = "\t" if tabs else max(",;\t|", key=lambda mark: (head.count(mark), mark == ","))
    columns: list[str] | None = None
    position = 0
    while not feed.done():
        cells = _csv_row(feed, delimiter)
        taken = feed.taken()
        if cells == []:
            continue
        if columns is None and cells is not None:
            if all(0 < len(cell) <= 60 for cell in cells if cell) and len(set(cells)) == len(cells):
                columns = cells
                continue
            columns = [f"column_{number}" for number in range(len(cells))]
        repair = "+".join(dict.fromkeys(taken.repairs)) or None
        if cells is None and columns is not None:
            cells = _literally(taken.text, delimiter, len(columns))
            repair = "+".join(filter(None, (repair, UNBALANCED_QUOTE))) if cells else None
        if cells is None or columns is None:
            yield Record(position, raw=taken.raw, error=MALFORMED_ROW, message="a quote that is not closed")
        elif len(cells) > len(columns):  # an unquoted delimiter has cut a text in two
            yield Record(position, raw=taken.raw, error=MALFORMED_ROW, message=f"{len(cells)} cells for {len(columns)} columns")
        else:
            yield Record(position, dict(zip_longest(columns, cells)), taken.raw, repair)
        position += 1


class _Taken(NamedTuple):
    """The lines of one row."""

    raw: bytes
    text: str
    repairs: list[str]


class _CsvLines:
    """The lines of a CSV text, for a parser that may have to be taken back to the start of a row."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._again: list[bytes] = []
        self._row: list[tuple[bytes, str, list[str]]] = []
        self._size = 0

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        raw = self._again.pop() if self._again else next(self._lines)
        text, wrong = decode_lines(raw)
        repairs = [*wrong.values(), *([NUL_BYTES] if "\0" in text else [])]
        text = text.replace("\0", "")
        self._row.append((raw, text, repairs))
        self._size += len(raw)
        return text

    def peek(self) -> str:
        """The next line, undone."""
        if self.done():
            return ""
        return decode_lines(self._again[-1])[0]

    def done(self) -> bool:
        """Whether no line follows."""
        if not self._again:
            self._again.extend([line for line in [next(self._lines, b"")] if line])
        return not self._again

    def too_long(self) -> bool:
        """Whether the row has taken more than any row can have."""
        return self._size > MAX_BLOCK

    def back_to_first(self) -> None:
        """Keep the first line of the row; the others come again."""
        self._again.extend(raw for raw, _, _ in reversed(self._row[1:]))
        del self._row[1:]

    def taken(self) -> _Taken:
        """The lines since the last call."""
        row, self._row, self._size = self._row, [], 0
        return _Taken(
            b"".join(raw for raw, _, _ in row), "".join(text for _, text, _ in row), [repair for *_, repairs in row for repair in repairs]
        )


def _csv_row(feed: _CsvLines, delimiter: str) -> list[str] | None:
    """The cells of the next row, none for a blank line; null if a quote in it is not closed, or not where a cell ends."""

    def lines() -> Iterator[str]:
        for line in feed:
            yield line
            if feed.too_long():
                return

    try:
        return next(csv.reader(lines(), delimiter=delimiter, strict=True), [])
    except csv.Error:
        feed.back_to_first()
        return None


def _literally(line: str, delimiter: str, columns: int) -> list[str] | None:
    """The cells of a line in which quotes mean nothing; null if they do not fit the columns."""
    cells = line.rstrip("\r\n").split(delimiter)
    return cells if len(cells) == columns else None


def _lines_of(feed: _Feed) -> Iterator[bytes]:
    """The lines with their ends: a line feed, or a carriage return where the text begins with lines that end so."""
    end, parts = b"", []
    while data := feed.read(CHUNK):
        end = end or (b"\r" if b"\r" in data and b"\n" not in data else b"\n")
        *lines, rest = data.split(end)
        for line in lines:
            yield b"".join((*parts, line, end))
            parts = []
        parts.append(rest)
    if last := b"".join(parts):
        yield last


def _paragraphs(data: bytes) -> list[bytes]:
    return [part.strip() for part in _BLANK_LINES.split(b"\n" + data.removeprefix(_BOM)) if part.strip()]


def _yaml_documents(text: str) -> tuple[list[object], list[dict]]:
    """The documents, and the mappings in them that name a key twice."""
    depth = 0
    for event in yaml.parse(text, TextLoader):
        # The C composer recurses without a bound: deep nesting would end the process, not the parse.
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_YAML_DEPTH} levels")
    loader = TextLoader(text)
    documents = []
    while loader.check_data():
        documents.append(loader.get_data())
    return documents, loader.doubles


def _numbered(found: Iterator[Element] | list[Element], first: int) -> Iterator[Record]:
    return (_record(first + place, element) for place, element in enumerate(found))


def _record(position: int, element: Element) -> Record:
    return Record(position, element.value, element.raw, element.repair, element.error, element.message)


def _elements(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _alone(value: object) -> list[object]:
    return [value]


def _elements_of(block: Block) -> list[bytes]:
    data = block.data.removeprefix(_BOM).strip()
    if block.form == "list":
        return elements(data)
    return elements(data[1:]) if block.form == "json" and data.startswith(b"[") else []


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


CONTAINERS: dict[str, Callable[[Opened, _Feed], Iterator[Block]]] = {
    ".json": _split_json,
    ".jsonl": _split_json,
    ".ndjson": _split_json,
    ".csv": _split_csv,
    ".tsv": _split_csv,
    ".parquet": _split_table,
    ".arrow": _split_table,
    ".yaml": _split_whole,
    ".yml": _split_whole,
    ".txt": _split_text,
}
"""How a file is cut into blocks, by its suffix."""

_PARSERS: dict[str, Callable[[Block], Iterator[Record]]] = {
    "json": _parse_json,
    "list": _parse_list,
    "lines": _parse_lines,
    "rows": _parse_rows,
    "yaml": _parse_yaml,
    "text": _parse_text,
    "arrow": _parse_arrow,
}
"""How a block is parsed, by its form."""

_CONTAINER_NAMES = {
    "list": "JSON list",
    "lines": "JSON Lines",
    "rows": "CSV or TSV",
    "yaml": "YAML",
    "text": "plain text",
    "arrow": "Parquet or Arrow",
}
"""What a block of a form is called; of `json` the content tells more."""
