"""CSV and TSV."""

import csv
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import orjson

from infinity_assets.reading.containers import base
from infinity_assets.reading.containers.base import Block, Feed, Record
from infinity_assets.reading.encodings import UNKNOWN_ENCODING, UNKNOWN_MESSAGE, decode_lines
from infinity_assets.reading.json_repair import NUL_BYTES
from infinity_assets.reading.streams import CHUNK, Opened

MALFORMED_ROW = "malformed_csv_row"

UNBALANCED_QUOTE = "unbalanced_quote"

_DELIMITERS = ",;\t|"

_NO_NAME = re.compile(r"[?!？！]|[.。…]\s*$|^[\s\d.,%+-]*$")
"""What tells that a cell is no column's name: a question, the end of a sentence, a number, nothing."""

_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
"""Excel's first line that says what separates cells."""


def split_csv(opened: Opened, feed: Feed) -> Iterator[Block]:
    """CSV or TSV with a header: parsed here, since where a row ends only parsing tells. A block is the rows as JSON."""
    rows = csv_rows(_lines_of(feed), tabs=opened.suffix in (".tsv", ".tab"))
    first, packed, size = 0, [], 0
    for row in rows:
        line = orjson.dumps([row.value, (row.raw or b"").decode("latin-1"), row.repair, row.error, row.message])
        packed.append(line)
        size += len(line)
        if size >= base.BLOCK:
            yield Block(opened.file, "rows", first, b"\n".join(packed))
            first, packed, size = first + len(packed), [], 0
    if packed:
        yield Block(opened.file, "rows", first, b"\n".join(packed))


def parse_rows(block: Block) -> Iterator[Record]:
    """Rows that were parsed when the file was cut."""
    for place, line in enumerate(block.data.split(b"\n")):
        value, raw, repair, error, message = orjson.loads(line)
        yield Record(block.first + place, value, raw.encode("latin-1"), repair, error, message)


def is_cut_row(last: Record) -> bool:
    """Whether the last row before a break has no end of its line."""
    return not (last.raw or b"").endswith((b"\n", b"\r"))


def csv_rows(lines: Iterator[bytes], tabs: bool = False) -> Iterator[Record]:
    """The rows of a CSV text with a header, or of one whose first line is none (then the columns are `column_0` and so on).

    A header has a short name in each cell; a name that comes again is numbered. Only its first cell may be empty: pandas' index.

    A quote that is never closed costs its own line at most: that line is read as if quotes meant nothing, if it then has a cell for each
    column, and is an error otherwise.

    Args:
        lines: The text line by line, with their ends.
        tabs: Whether cells are separated by tabs, whatever the first line looks like.
    """
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is less than one long answer
    feed = _CsvLines(lines)
    head = feed.peek()
    said = _SEPARATOR.fullmatch(head)
    if said:
        next(feed)
        feed.taken()
    delimiter = (
        said[1] if said else "\t" if tabs else max(_DELIMITERS, key=lambda mark: (head.count(mark), mark == ","))
    )
    columns: list[str] | None = None
    position = 0
    while not feed.done():
        cells = _csv_row(feed, delimiter)
        taken = feed.taken()
        if cells == []:
            continue
        if columns is None and cells is not None:
            if all(map(_is_name, cells if cells[0] or len(cells) < 2 else cells[1:])):
                columns = _numbered(cells)
                continue
            columns = [f"column_{number}" for number in range(len(cells))]
        repair = "+".join(dict.fromkeys(taken.repairs)) or None
        if cells is None and columns is not None:
            cells = _literally(taken.text, delimiter, len(columns))
            repair = "+".join(filter(None, (repair, UNBALANCED_QUOTE))) if cells else None
        if UNKNOWN_ENCODING in taken.repairs:
            yield Record(position, raw=taken.raw, error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
        elif cells is None or columns is None:
            yield Record(position, raw=taken.raw, error=MALFORMED_ROW, message="a quote that is not closed")
        elif len(cells) > len(columns):  # an unquoted delimiter has cut a text in two
            yield Record(
                position, raw=taken.raw, error=MALFORMED_ROW, message=f"{len(cells)} cells for {len(columns)} columns"
            )
        else:
            yield Record(position, dict(zip_longest(columns, cells)), taken.raw, repair)
        position += 1


def _is_name(cell: str) -> bool:
    return len(cell) <= 40 and len(cell.split()) <= 4 and not _NO_NAME.search(cell)


def _numbered(names: list[str]) -> list[str]:
    """The names, each once: the second `answer` is `answer_2`."""
    found: list[str] = []
    for name in names:
        number, once = 1, name
        while once in found:
            number += 1
            once = f"{name}_{number}"
        found.append(once)
    return found


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
        return self._size > base.MAX_BLOCK

    def back_to_first(self) -> None:
        """Keep the first line of the row; the others come again."""
        self._again.extend(raw for raw, _, _ in reversed(self._row[1:]))
        del self._row[1:]

    def taken(self) -> _Taken:
        """The lines since the last call."""
        row, self._row, self._size = self._row, [], 0
        return _Taken(
            b"".join(raw for raw, _, _ in row),
            "".join(text for _, text, _ in row),
            [repair for *_, repairs in row for repair in repairs],
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


def _lines_of(feed: Feed) -> Iterator[bytes]:
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
