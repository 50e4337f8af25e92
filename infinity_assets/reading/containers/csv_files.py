"""CSV and TSV."""

import csv
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from infinity_assets.reading.containers import base
from infinity_assets.reading.containers.base import Block, Feed, Record
from infinity_assets.reading.containers.columns import DUPLICATE_COLUMNS, merge_duplicates, number_duplicates
from infinity_assets.reading.encodings import UNKNOWN_ENCODING, UNKNOWN_MESSAGE, decode_lines
from infinity_assets.reading.json_repair import NUL_BYTES
from infinity_assets.reading.streams import CHUNK, Opened

MALFORMED_ROW = "malformed_csv_row"

UNBALANCED_QUOTE = "unbalanced_quote"

_DELIMITERS = ",;\t|"

_NO_NAME = re.compile(r"[?!？！]|[.。…]\s*$|^[\s\d.,%+-]*$")
_FLOAT = re.compile(r"-?\d{1,15}\.0")
"""Matches cells that are not column names: questions, ends of sentences, numbers, blanks."""

_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
"""Matches a first line, as Excel writes it, that names the separator."""


def split_csv(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Cut CSV or TSV into blocks of rows as JSON. Rows are parsed here because only parsing shows where they end."""
    rows = csv_rows(_read_lines(feed), tabs=opened.suffix in (".tsv", ".tab"))
    first = 0
    packed = []
    size = 0
    for row in rows:
        line = orjson.dumps([row.value, (row.raw or b"").decode("latin-1"), row.repair, row.error, row.message])
        packed.append(line)
        size += len(line)
        if size >= base.BLOCK:
            yield Block(opened.file, "rows", first, b"\n".join(packed))
            first = first + len(packed)
            packed = []
            size = 0
    if packed:
        yield Block(opened.file, "rows", first, b"\n".join(packed))


def parse_rows(block: Block) -> Iterator[Record]:
    """Yield the rows that `split_csv` parsed."""
    for place, line in enumerate(block.data.split(b"\n")):
        value, raw, repair, error, message = orjson.loads(line)
        yield Record(block.first + place, value, raw.encode("latin-1"), repair, error, message)


def is_cut_row(last: Record) -> bool:
    """Return whether the last row before a read error lacks its line end."""
    return not (last.raw or b"").endswith((b"\n", b"\r"))


def csv_rows(lines: Iterator[bytes], tabs: bool = False) -> Iterator[Record]:
    """Yield the rows of a CSV text with or without a header. Without one the columns are `column_0` and so on.

    A header has a short name in each cell; repeated names are numbered. Only its first cell may be empty, as for the
    index of pandas.

    A quote that is never closed affects only its own line: the line is split without regard to quotes if that gives a
    cell for each column, and is an error otherwise.

    Args:
        lines: The lines of the text with their line ends.
        tabs: Whether tabs separate the cells, whatever the first line looks like.
    """
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is less than one long answer
    feed = _CsvLines(lines)
    head = feed.peek()
    sep = _SEPARATOR.fullmatch(head)
    if sep:
        next(feed)
        feed.take_row()
    delimiter = sep[1] if sep else "\t" if tabs else max(_DELIMITERS, key=lambda mark: (head.count(mark), mark == ","))
    columns: list[str] | None = None
    doubles: dict[str, str] = {}
    position = 0
    while not feed.is_exhausted():
        cells = _csv_row(feed, delimiter)
        row = feed.take_row()
        if cells == []:
            continue
        if columns is None and cells is not None:
            if all(map(_is_name, cells if cells[0] or len(cells) < 2 else cells[1:])):
                columns, doubles = number_duplicates(cells)
                continue
            columns = [f"column_{number}" for number in range(len(cells))]
        repair = "+".join(dict.fromkeys(row.repairs)) or None
        if cells is None and columns is not None:
            cells = _split_literally(row.text, delimiter, len(columns))
            repair = "+".join(filter(None, (repair, UNBALANCED_QUOTE))) if cells else None
        if UNKNOWN_ENCODING in row.repairs:
            yield Record(position, raw=row.raw, error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
        elif cells is None or columns is None:
            yield Record(position, raw=row.raw, error=MALFORMED_ROW, message="a quote that is not closed")
        elif len(cells) != len(columns):
            # An unquoted delimiter cut a text in two, or cells are missing, which need not be the last ones.
            yield Record(
                position, raw=row.raw, error=MALFORMED_ROW, message=f"{len(cells)} cells for {len(columns)} columns"
            )
        else:
            values: dict[str, object] = dict(zip(columns, map(_drop_zero, cells), strict=True))
            if merge_duplicates(values, doubles):
                repair = "+".join(filter(None, (repair, DUPLICATE_COLUMNS)))
            yield Record(position, values, row.raw, repair)
        position += 1


def _drop_zero(cell: str) -> str:
    """Return 48.0, which pandas writes for an integer in a column with gaps, as 48, and any other text unchanged."""
    return cell[:-2] if cell.endswith(".0") and _FLOAT.fullmatch(cell) else cell


def _is_name(cell: str) -> bool:
    return len(cell) <= 40 and len(cell.split()) <= 4 and not _NO_NAME.search(cell)


class _RowLines(NamedTuple):
    """The lines of one row."""

    raw: bytes
    text: str
    repairs: list[str]


class _CsvLines:
    """The lines of a CSV text, for a parser that may have to reread a row."""

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
        """Return the next line without consuming it."""
        if self.is_exhausted():
            return ""
        return decode_lines(self._again[-1])[0]

    def is_exhausted(self) -> bool:
        """Return whether no line follows."""
        if not self._again:
            self._again.extend([line for line in [next(self._lines, b"")] if line])
        return not self._again

    def is_too_long(self) -> bool:
        """Return whether the row is larger than `MAX_BLOCK` bytes."""
        return self._size > base.MAX_BLOCK

    def push_back_rest(self) -> None:
        """Keep the first line of the row and push the others back."""
        self._again.extend(raw for raw, _, _ in reversed(self._row[1:]))
        del self._row[1:]

    def take_row(self) -> _RowLines:
        """Return the lines read since the last call."""
        row = self._row
        self._row = []
        self._size = 0
        return _RowLines(
            b"".join(raw for raw, _, _ in row),
            "".join(text for _, text, _ in row),
            [repair for *_, repairs in row for repair in repairs],
        )


def _csv_row(feed: _CsvLines, delimiter: str) -> list[str] | None:
    """Return the cells of the next row ([] for a blank line), or `None` if a quote is not closed at a cell's end."""

    def lines() -> Iterator[str]:
        for line in feed:
            yield line
            if feed.is_too_long():
                return

    try:
        return next(csv.reader(lines(), delimiter=delimiter, strict=True), [])
    except csv.Error:
        feed.push_back_rest()
        return None


def _split_literally(line: str, delimiter: str, columns: int) -> list[str] | None:
    """Return the cells of a line split without regard to quotes, or `None` if they do not fit the columns."""
    cells = line.rstrip("\r\n").split(delimiter)
    return cells if len(cells) == columns else None


def _read_lines(feed: Feed) -> Iterator[bytes]:
    """Yield the lines with their ends: line feeds, or carriage returns if the text begins with such lines."""
    end = b""
    parts = []
    while data := feed.read(CHUNK):
        end = end or (b"\r" if b"\r" in data and b"\n" not in data else b"\n")
        *lines, rest = data.split(end)
        for line in lines:
            yield b"".join((*parts, line, end))
            parts = []
        parts.append(rest)
    if last := b"".join(parts):
        yield last
