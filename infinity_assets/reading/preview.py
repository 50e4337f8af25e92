"""What the rows of a source would be, from the first records of some of its files: nothing is written, and a large source costs no more.

Files, records and conversations are read with the same functions as in `reading`, so what is shown is what a run would make of them.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Generic, TypeVar

import polars as pl
import yaml

from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import Block, Record, as_json, blocks_of
from infinity_assets.reading.containers.base import BLOCK
from infinity_assets.reading.layouts import Parsed, layout_of, parse
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.reader import EVIDENCE_CHARS, Complete
from infinity_assets.reading.sources import File, Source
from infinity_assets.reading.streams import DAMAGE, MEMBER, Opened, compression_of, open_files, plain_suffix
from infinity_assets.reading.suggest import TEMPLATE, shape, suggestion
from infinity_assets.rows import schema
from infinity_assets.rows.grammar import Message, Rejected
from infinity_assets.rows.ids import row_id

UNKNOWN_LAYOUT = "unknown_layout"

T = TypeVar("T")

MAX_SHAPES = 20
"""Distinct shapes of records in no known layout that are told apart."""

MAX_VALUES = 50
"""Records of one shape from which a mapping is guessed, and on which it is tried."""

MAX_BYTES = 128 << 20
"""Of the files that are looked at. One costs two blocks at most, since blocks are cut one ahead."""


MAX_SKIPPED = 1 << 30
"""A tar larger than this is left behind the first file of which not all was wanted."""


@dataclass(frozen=True)
class Limits:
    """How much is looked at; null for all."""

    records: int | None = 1000
    """Records of a file."""
    files: int | None = 50
    """Files of a source, and of one archive if there is but one: the first, the last, and others evenly between them."""

    @classmethod
    def none(cls) -> "Limits":
        """Everything."""
        return cls(None, None)


@dataclass
class FileSeen:
    """What was found in the part of a file that was read. `records = rows + dropped`."""

    file: str
    """Its path in the source; `archive!path` for one in an archive."""
    container: str
    """What it turned out to be, and what it was packed in."""
    records: int = 0
    rows: int = 0
    layouts: Counter[str] = field(default_factory=Counter)
    """Records by the layout that reads them."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Rows by what was repaired in their record."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Records by the reason why they are no row."""
    whole: bool = True
    """Whether it was read to its end."""


@dataclass(frozen=True)
class Example:
    """A row as it would become."""

    file: str
    position: int
    layout: str
    messages: list[Message]
    kind: str
    licence: str
    repair: str | None
    kept: dict[str, str]
    """Annotations: name to JSON value."""
    domain: str | None = None
    language: str | None = None


@dataclass
class Dropped:
    """Records that are dropped for one reason, with the first of them."""

    reason: str
    file: str
    position: int
    message: str | None
    raw: str
    """The beginning of its bytes."""
    records: int = 0


@dataclass
class Unknown:
    """Records in no known layout that the same lines of a `source.yaml` would make fit."""

    shapes: dict[str, int]
    """Each distinct shape, and how many records have it."""
    lines: str
    """Of a `source.yaml`; a comment where nothing could be guessed."""
    tried: int
    """Records on which the lines were tried."""
    fit: int
    """How many of those then are rows."""
    files: list[str]
    """Where they stand: those seen."""
    example: str
    """The first of them as JSON, its beginning."""


@dataclass(frozen=True)
class Preview:
    """What was seen of a source."""

    source: Source
    files: list[FileSeen]
    """What was looked at, in the order of paths."""
    there: int
    """Files of the folder that a run reads; an archive counts as one."""
    looked_at: int
    """How many of them were looked at."""
    more_in: list[str]
    """Archives that were not looked at to their end."""
    left_out: dict[str, str]
    """What a run does not read, by path, and why."""
    examples: list[Example]
    unknown: list[Unknown]
    """Records in no known layout, the most frequent first."""
    dropped: list[Dropped]
    """The most frequent reason first."""

    @property
    def records(self) -> int:
        """Records read."""
        return sum(file.records for file in self.files)

    @property
    def rows(self) -> int:
        """What they would become."""
        return sum(file.rows for file in self.files)

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "source": self.source.model_dump(mode="json"),
            "records": self.records,
            "rows": self.rows,
        }

    @property
    def readable(self) -> bool:
        """Whether a record could be parsed at all, be it that it fits no layout."""
        return bool(self.unknown) or any(file.layouts for file in self.files)


def preview(
    source: Source,
    *,
    files: list[File] | None = None,
    rows: int = 5,
    limits: Limits | None = None,
    complete: Complete | None = None,
) -> Preview:
    """Look at a source.

    Args:
        source: The source.
        files: Of its files, those to look at. Default: those that a run reads.
        rows: How many example rows to give.
        limits: How much is looked at.
        complete: What fills in domain and language where the source does not say them.

    Raises:
        InfinityError: `layout` or `fields` of the source cannot be meant.
    """
    limits = limits or Limits()
    mapping = FieldMapping(source.fields, source.keep)
    paths = source.files() if files is None else files
    chosen = _chosen(paths, limits.files)
    seen = _Seen(
        source,
        mapping,
        limits,
        rows,
        members=None if limits.files is None else max(3, limits.files // max(len(chosen), 1)),
    )
    for path in chosen:
        seen.look(path)
    left_out = source.left_out() if files is None else {}
    return Preview(
        source,
        seen.files,
        there=len(paths),
        looked_at=len(chosen),
        more_in=seen.more_in,
        left_out=dict(sorted((left_out | seen.left_out).items())),
        examples=_completed(source, seen.examples(), complete),
        unknown=seen.unknown(),
        dropped=sorted(seen.dropped.values(), key=lambda one: (-one.records, one.reason)),
    )


def merged(values: list[tuple[str, int, list[object]]], source: Source | None = None) -> list[Unknown]:
    """The lines that would make records fit, from (shape, count, sample of records), with shapes together that need the same lines.

    `files` and `example` of the result are left empty.
    """
    found: dict[str, Unknown] = {}
    for shown, count, sample in sorted(values, key=lambda one: (-one[1], one[0])):
        lines = _lines(sample, source)
        try:
            fit = _fitting(lines, sample)
        except (InfinityError, yaml.YAMLError):  # a key with braces, or with a dot at its end, is no path
            lines, fit = TEMPLATE, 0
        one = found.setdefault(lines, Unknown({}, lines, 0, 0, [], ""))
        one.shapes[shown] = count
        one.tried += len(sample)
        one.fit += fit
    return list(found.values())


def _lines(sample: list[object], source: Source | None) -> str:
    if source and (source.layout or source.fields):
        told = {layout_of(value) for value in sample}
        if None not in told:
            return f"# Without `layout` and `fields` these records are read as {' or '.join(sorted(map(str, told)))}."
    return suggestion(sample)


def _fitting(lines: str, sample: list[object]) -> int:
    said = yaml.safe_load(lines) or {}
    mapping = FieldMapping(said.get("fields", {}))
    return sum(isinstance(parse(mapping(value), said.get("layout"))[0], Parsed) for value in sample)


def _chosen(paths: list[File], most: int | None) -> list[File]:
    """The files to look at, while they are not too large together."""
    if most is None:
        return paths
    some = _of_each_kind(paths, most)
    size = sum(min(os.stat(file.path).st_size, 2 * BLOCK) for file in some)
    return some if size <= MAX_BYTES else _of_each_kind(some, max(1, len(some) * MAX_BYTES // size))


def _of_each_kind(paths: list[File], most: int) -> list[File]:
    """Of each suffix its share of the files, two at least."""
    if len(paths) <= most:
        return paths
    kinds: dict[str, list[File]] = {}
    for path in paths:
        kinds.setdefault(plain_suffix(PurePosixPath(path.name)), []).append(path)
    chosen = {path for alike in kinds.values() for path in _spread(alike, max(2, most * len(alike) // len(paths)))}
    return [path for path in paths if path in chosen]


def _spread(items: list[T], count: int) -> list[T]:
    """So many of a list, evenly from the first to the last; all if there are no more."""
    if len(items) <= count:
        return items
    return [items[round(place * (len(items) - 1) / max(count - 1, 1))] for place in range(count)]


class _Thinned(Generic[T]):
    """Some of a stream of items, evenly spread, whatever its length: when there are twice as many as wanted, every second goes."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._every, self._count = wanted, 1, 0
        self._items: list[T] = []

    def wants_next(self) -> bool:
        """Whether the next item of the stream is one to `add`. Asked once for each."""
        self._count += 1
        return self._wanted > 0 and (self._count - 1) % self._every == 0

    def add(self, item: T) -> None:
        self._items.append(item)
        if len(self._items) > 2 * self._wanted:
            self._items, self._every = self._items[::2], 2 * self._every

    def items(self) -> list[T]:
        return _spread(self._items, self._wanted)


class _Seen:
    """What is found, as it is collected."""

    def __init__(self, source: Source, mapping: FieldMapping, limits: Limits, rows: int, members: int | None) -> None:
        self._source, self._mapping, self._limits, self._wanted, self._members = source, mapping, limits, rows, members
        self.files: list[FileSeen] = []
        self.more_in: list[str] = []
        self.left_out: dict[str, str] = {}
        self.dropped: dict[str, Dropped] = {}
        self._examples: list[list[Example]] = []
        self._shapes: dict[str, list[object]] = {}
        self._counts: Counter[str] = Counter()
        self._where: dict[str, tuple[list[str], str]] = {}
        """Of each shape, the files and the first record."""

    def look(self, at_hand: File) -> None:
        """Look at a file, or at the first ones of an archive."""
        file, members = at_hand.name, 0

        def wanted(member: str) -> bool:
            why = self._source.refuses(file, member)
            if why:
                self.left_out[f"{file}{MEMBER}{member}"] = why
            return why is None

        at = file
        with open(at_hand.path, "rb") as stream:
            head = stream.peek(8)
            packed = compression_of(head)
            # What follows a file in a tar can only be reached by reading that file; in a zip it is found at once.
            slow = (
                self._members is not None and not head.startswith(b"PK") and os.stat(at_hand.path).st_size > MAX_SKIPPED
            )
            try:
                for opened in open_files(stream, file, wanted):
                    if members and (members == self._members or (self._members and stream.tell() > MAX_BYTES)):
                        self.more_in.append(file)
                        break
                    at, members = opened.file, members + 1
                    self._file(opened, packed)
                    if slow and MEMBER in at and not self.files[-1].whole:
                        self.more_in.append(file)
                        break
            except DAMAGE as error:
                damaged = Block(at, "lines", 0, b"", fault=f"{type(error).__name__}: {' '.join(str(error).split())}")
                if not self.files or self.files[-1].file != at:
                    self.files.append(FileSeen(at, "unreadable"))
                self._records(damaged, self.files[-1], _Thinned(0))

    def examples(self) -> list[Example]:
        """Rows spread over the files, and over their records."""
        by_file = _spread(self._examples, self._wanted)
        by_file = [_spread(examples, -(-self._wanted // len(by_file))) for examples in by_file]
        ranked = [
            one for rank in zip_longest(*by_file) for one in rank if one
        ]  # the first of each file, then the second of each
        return sorted(ranked[: self._wanted], key=lambda one: (one.file, one.position))

    def unknown(self) -> list[Unknown]:
        """Records in no known layout."""
        found = merged([(shown, self._counts[shown], sample) for shown, sample in self._shapes.items()], self._source)
        for one in found:
            one.files = list(dict.fromkeys(file for shown in one.shapes for file in self._where[shown][0]))
            one.example = self._where[next(iter(one.shapes))][1]
        return found

    def _file(self, opened: Opened, packed: str | None) -> None:
        examples: _Thinned[Example] = _Thinned(self._wanted)
        file: FileSeen | None = None
        for block in blocks_of(opened):
            if file is None:
                outer = plain_suffix(PurePosixPath(opened.file.split(MEMBER)[0]))
                archive = None if MEMBER not in opened.file else "zip" if outer == ".zip" else "tar"
                file = FileSeen(opened.file, " in ".join(filter(None, (block.container, archive, packed))))
                self.files.append(file)
            if not self._records(block, file, examples):
                file.whole = False
                break
        if file is None:
            self.files.append(FileSeen(opened.file, "empty"))
        self._examples += filter(None, [examples.items()])

    def _records(self, block: Block, file: FileSeen, examples: _Thinned[Example]) -> bool:
        """Take the records of a block. Returns whether more are wanted."""
        for record in block.records():
            if self._limits.records is not None and file.records >= self._limits.records:
                return False
            mapped = None if record.error else self._mapping(record.value)
            outcomes = [Rejected(record.error, record.message)] if record.error else parse(mapped, self._source.layout)
            layout = None if record.error else layout_of(mapped, self._source.layout)
            if layout:
                file.layouts[layout] += 1
            for outcome in outcomes:
                file.records += 1
                if isinstance(outcome, Rejected):
                    file.dropped[outcome.reason] += 1
                    self._drop(block, record, outcome)
                    continue
                file.rows += 1
                repair = "+".join(filter(None, (record.repair, outcome.repair))) or None
                if repair:
                    file.repaired[repair] += 1
                if examples.wants_next():
                    examples.add(self._example(block.file, record, layout or "", outcome, repair))
        return True

    def _example(self, file: str, record: Record, layout: str, row: Parsed, repair: str | None) -> Example:
        kept = {**(row.kept or {}), **self._mapping.kept(record.value)}
        said = {name: as_json(value).decode(errors="replace") for name, value in kept.items()}
        return Example(file, record.position, layout, row.messages, row.kind, self._source.licence, repair, said)

    def _drop(self, block: Block, record: Record, why: Rejected) -> None:
        known = self.dropped.get(why.reason)
        if known is None:
            raw = block.with_raw([record])[0].raw or b""
            known = Dropped(why.reason, block.file, record.position, why.message, _quoted(raw))
            self.dropped[why.reason] = known
        known.records += 1
        if why.reason != UNKNOWN_LAYOUT:
            return
        shown = shape(record.value)
        if shown not in self._shapes:
            if len(self._shapes) >= MAX_SHAPES:
                return
            self._shapes[shown], self._where[shown] = [], ([], _quoted(as_json(record.value)))
        self._counts[shown] += 1
        files, sample = self._where[shown][0], self._shapes[shown]
        if len(sample) < MAX_VALUES:
            sample.append(record.value)
        if block.file not in files[-1:]:
            files.append(block.file)


def _quoted(raw: bytes) -> str:
    return raw[: 4 * EVIDENCE_CHARS].decode(errors="replace")[:EVIDENCE_CHARS]


def _completed(source: Source, examples: list[Example], complete: Complete | None) -> list[Example]:
    """The examples with domain and language, as the source says or their text tells."""
    rows = pl.DataFrame(
        {
            "row_id": [
                row_id([turn["role"] for turn in one.messages], [turn["content"] for turn in one.messages])
                for one in examples
            ],
            "messages": [one.messages for one in examples],
            "source": source.name,
            "file": [one.file for one in examples],
            "position": [one.position for one in examples],
            "licence": source.licence,
            "domain": source.domain,
            "language": source.language,
            "kind": [one.kind for one in examples],
        },
        schema=schema.ROW,
    )
    said = (complete(rows) if complete and examples else rows).select("domain", "language").rows()
    return [
        replace(one, domain=domain, language=language) for one, (domain, language) in zip(examples, said, strict=True)
    ]
