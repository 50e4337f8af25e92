"""Types that all containers share: records, blocks of records, and the stream that blocks are cut from."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

import orjson

from infinity_assets.reading.streams import CHUNK, DAMAGE

UNREADABLE = "unreadable_file"

BLOCK = 2 << 20
"""Size of a block in bytes; a smaller file is one block."""

MAX_BLOCK = 64 << 20
"""Maximum size of a list element or CSV row in bytes; a longer one is read as damaged."""

BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """One record of a file: its parsed value, or an error."""

    position: int
    """Index in the list, line number, table row or paragraph, from 0."""
    value: object | None = None
    """The parsed value. Meaningless if there is an error."""
    raw: bytes | None = None
    """The bytes of the record in the file. If `None`, `Block.with_raw` finds them."""
    repair: str | None = None
    """The repairs that parsing needed, joined by `+`."""
    error: str | None = None
    """Reason code for `decisions` if parsing failed."""
    message: str | None = None
    """The error message of the parser."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of whole records of one file."""

    file: str
    form: str
    """The kind of data: a key of `FORMS`."""
    first: int
    """Position of the first record."""
    data: bytes
    last: bool = True
    """True if this is the last block of the file."""
    fault: str | None = None
    """The error that ended the reading of the file after this block."""

    def records(self) -> Iterator[Record]:
        """Yield the records in order, then one with an error if reading the file failed after this block."""
        position = self.first
        held = None
        try:
            for record in FORMS[self.form].parse(self):
                if held:
                    yield held
                held = record
                position = record.position + 1
        except (*DAMAGE, MemoryError) as error:
            if held:
                yield held
            yield Record(position, raw=self.data, error=UNREADABLE, message=error_message(error))
            return
        if self.fault is None:
            if held:
                yield held
        elif held and (held.error or FORMS[self.form].is_cut(held)):
            yield held._replace(error=UNREADABLE, message=self.fault)
        else:
            if held:
                yield held
            yield Record(position, raw=b"", error=UNREADABLE, message=self.fault)

    @property
    def container(self) -> str:
        """Name of the container that the data turned out to be, regardless of the file name."""
        return FORMS[self.form].name(self)

    def with_raw(self, records: list[Record]) -> list[Record]:
        """Return records of this block with `raw` filled in: their bytes in the file if known, else their JSON."""
        missing = [record for record in records if record.raw is None]
        raw_by_position = FORMS[self.form].raw(self, missing) if missing else {}

        def raw(record: Record) -> bytes:
            return raw_by_position[record.position] if record.position in raw_by_position else as_json(record.value)

        return [record if record.raw is not None else record._replace(raw=raw(record)) for record in records]


class Form(NamedTuple):
    """A kind of block data and how to parse it."""

    name: Callable[[Block], str]
    """Returns the name of the container."""
    parse: Callable[[Block], Iterator[Record]]
    """Yields the records in order. May raise `DAMAGE`."""
    is_cut: Callable[[Record], bool] = lambda last: False
    """Returns whether the last record before a read error may be incomplete although it could be parsed."""
    raw: Callable[[Block, list[Record]], dict[int, bytes]] = lambda block, records: {}
    """Returns, by position, the bytes of the given records that occur verbatim in the file."""


FORMS: dict[str, Form] = {}
"""The forms of blocks by name. The package fills it on import, so a block finds its parser in every process."""


class Feed:
    """A stream that ends at a read error. The bytes before the error are read, and `fault` holds the error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.fault: str | None = None
        self._next = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        parts = [self._next]
        missing = size - len(self._next)
        self._next = b""
        while missing > 0 and not self._ended:
            part = self._read_some(missing)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        try:
            part = (
                self._stream.read1(min(size, CHUNK))
                if isinstance(self._stream, io.BufferedReader)
                else self._stream.read(min(size, CHUNK))
            )
        except DAMAGE as error:
            self.fault = error_message(error)
            part = b""
        self._ended = not part
        return part

    def has_ended(self) -> bool:
        """Return whether the stream is exhausted."""
        return not self.peek()

    def peek(self) -> bytes:
        """Return some of the next bytes, which `read` will return again; empty at the end."""
        if not self._next and not self._ended:
            self._next = self._read_some(1 << 16)
        return self._next


def as_json(value: object) -> bytes:
    """Return a parsed value as JSON, or as its `repr` if it is nested too deep."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=repr)
    except TypeError:  # nested deeper than orjson writes
        try:
            return repr(value).encode(errors="replace")
        except RecursionError:
            return f"a {type(value).__name__}, nested too deep to show".encode()


def error_message(error: BaseException) -> str:
    """Return the type and text of an exception on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
