"""What every container is read with: records, blocks of them, and the stream that they are cut from."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

import orjson

from infinity_assets.reading.streams import CHUNK, DAMAGE

UNREADABLE = "unreadable_file"

BLOCK = 2 << 20
"""Bytes of a file that are cut off as one block; a smaller file is one block."""

MAX_BLOCK = 64 << 20
"""Bytes in which the end of a list element, or of a CSV row, must come. What has no end by then is read as damaged."""

BOM = b"\xef\xbb\xbf"


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
    """What the data is: a key of `FORMS`."""
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
            for record in FORMS[self.form].parse(self):
                if held:
                    yield held
                held, position = record, record.position + 1
        except (*DAMAGE, RecursionError, MemoryError) as error:
            if held:
                yield held
            yield Record(position, raw=self.data, error=UNREADABLE, message=said(error))
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
        """What the data turned out to be, in words, whatever the file is called."""
        return FORMS[self.form].name(self)

    def with_raw(self, records: list[Record]) -> list[Record]:
        """Some of its records with their bytes: as they stand in the file where that can be told, else the record as JSON."""
        missing = [record for record in records if record.raw is None]
        found = FORMS[self.form].raw(self, missing) if missing else {}

        def raw(record: Record) -> bytes:
            return found[record.position] if record.position in found else as_json(record.value)

        return [record if record.raw is not None else record._replace(raw=raw(record)) for record in records]


class Form(NamedTuple):
    """What the data of a block is."""

    name: Callable[[Block], str]
    """What it is called, in words."""
    parse: Callable[[Block], Iterator[Record]]
    """Its records, in order. May raise `DAMAGE`."""
    is_cut: Callable[[Record], bool] = lambda last: False
    """Whether the last record before a break may be the beginning of one, though it could be parsed."""
    raw: Callable[[Block, list[Record]], dict[int, bytes]] = lambda block, records: {}
    """The bytes of those of the given records that stand in the file as they are, by position."""


FORMS: dict[str, Form] = {}
"""The forms of blocks. The package fills it in, so a block finds its parser in any process that can load it."""


class Feed:
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
                self._stream.read1(min(size, CHUNK))
                if isinstance(self._stream, io.BufferedReader)
                else self._stream.read(min(size, CHUNK))
            )
        except DAMAGE as error:
            self.fault, part = said(error), b""
        self._ended = not part
        return part

    def ended(self) -> bool:
        """Whether nothing follows."""
        if not self._next and not self._ended:
            self._next = self._some(1 << 16)
        return not self._next and self._ended


def as_json(value: object) -> bytes:
    """Any parsed value as JSON, or as near to it as it comes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=repr)
    except TypeError:  # nested deeper than orjson writes
        try:
            return repr(value).encode(errors="replace")
        except RecursionError:
            return f"a {type(value).__name__}, nested too deep to show".encode()


def said(error: BaseException) -> str:
    """An exception as a message: its type and its text on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
