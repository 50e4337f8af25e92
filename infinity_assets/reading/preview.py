"""Preview of the rows of a source from the first records of some of its files, without writing anything.

Files, records and conversations are read by the functions that a run uses, so the preview shows the rows that
a run would make. It takes no longer for a large source.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

import polars as pl
import yaml

from infinity_assets.errors import InfinityError
from infinity_assets.reading.batches import Batches
from infinity_assets.reading.containers import Block, Record, as_json, blocks_of
from infinity_assets.reading.containers.base import BLOCK
from infinity_assets.reading.guess import UNKNOWN_LAYOUT, Guess, make_reader
from infinity_assets.reading.layouts import Parsed, layout_of
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.numbering import find_numbers_from_one
from infinity_assets.reading.reader import EVIDENCE_CHARS, Complete
from infinity_assets.reading.shapes import shape
from infinity_assets.reading.sources import File, Source
from infinity_assets.reading.streams import DAMAGE, MEMBER, Opened, compression_of, open_files, plain_suffix
from infinity_assets.reading.suggest import MIN_FIT, Suggestion, suggest
from infinity_assets.reading.unread import Account, combine, find_unread
from infinity_assets.rows import schema
from infinity_assets.rows.grammar import Message, Rejected
from infinity_assets.rows.ids import row_id

T = TypeVar("T")

MAX_SHAPES = 20
"""Maximum number of shapes to collect from records in no known layout."""

MAX_VALUES = 50
"""Maximum number of records per shape that are used to guess a mapping and to try it."""

MAX_BYTES = 128 << 20
"""Maximum total size of the previewed files in bytes. Each counts as two blocks at most: one is read ahead."""

MAX_SKIPPED = 1 << 30
"""Size of a tar archive in bytes above which a preview stops at the first member that it does not read to its end."""


@dataclass(frozen=True)
class Limits:
    """Limits of a preview; `None` means no limit."""

    records: int | None = 1000
    """Number of records per file."""
    files: int | None = 50
    """Number of files per source, evenly spread. An equal share of it, at least 3, limits the members of an archive."""


@dataclass
class FileSeen:
    """Counts of the part of a file that was read. `records = rows + dropped`."""

    file: str
    """Path in the source; `archive!path` for a file in an archive."""
    container: str
    """Container as its content shows, with archive and compression, such as `JSON Lines in tar in gz`."""
    records: int = 0
    rows: int = 0
    layouts: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    """Number of repaired rows by repair code."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of dropped records by reason."""
    whole: bool = True
    """True if the file was read to its end."""


@dataclass(frozen=True)
class Example:
    """A row that a run would make."""

    file: str
    position: int
    layout: str
    messages: list[Message]
    kind: str
    licence: str
    repair: str | None
    kept: dict[str, str]
    """Annotations: values as JSON, by name."""
    domain: str | None = None
    language: str | None = None


@dataclass
class Dropped:
    """Records that are dropped for one reason, with the first of them as an example."""

    reason: str
    file: str
    position: int
    message: str | None
    raw: str
    """The beginning of the first record's bytes."""
    records: int = 0


@dataclass
class Unknown:
    """Records in no known layout for which the same lines of a `source.yaml` are suggested."""

    shapes: dict[str, int]
    """Number of records by shape."""
    lines: str
    """Lines for a `source.yaml`; a comment if no mapping could be guessed."""
    tried: int
    """Number of records on which the lines were tried; `fit` of them became rows."""
    fit: int
    files: list[str]
    example: str
    """The beginning of the first record as JSON."""
    rows: list[list[Message]] = field(default_factory=list)
    """The messages of up to three rows that the lines make of the records."""
    sample: list[object] = field(default_factory=list)
    """Some of the records."""


@dataclass(frozen=True)
class Preview:
    """The counts, examples and unreadable parts of a previewed source."""

    source: Source
    files: list[FileSeen]
    there: int
    """Number of files in the folder that a run reads; an archive counts as one."""
    looked_at: int
    """Number of these files that were previewed."""
    more_in: list[str]
    """Archives that were not previewed to their end."""
    left_out: dict[str, str]
    """Files that a run does not read: the reason by path."""
    examples: list[Example]
    unknown: list[Unknown]
    """Records in no known layout, the most frequent first."""
    dropped: list[Dropped]
    """Dropped records, the most frequent reason first."""
    unread: list[dict[str, Any]]
    """Keys of the records read whose values reached no row, as lines of `find_unread`."""
    guess: Guess | None = None
    """The guess for records of unknown layout."""
    guess_applied: bool = False
    """True if a run reads such records by the guess, and the preview has done so."""
    unfound: dict[str, str] = field(default_factory=dict)
    """The settings `fields` whose path is in no record: path by name."""

    @property
    def records(self) -> int:
        """Number of records read."""
        return sum(file.records for file in self.files)

    @property
    def rows(self) -> int:
        """Number of rows that a run would make of the records read."""
        return sum(file.rows for file in self.files)

    def as_json(self) -> dict[str, object]:
        """Return the fields of the preview, with `records` and `rows`, as a dictionary for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["unknown"] = [replace(one, sample=[]) for one in self.unknown]
        source = self.source.model_dump(mode="json")
        guess = self.guess and {
            **self.guess._asdict(), "mapping": self.guess.mapping._asdict(), "beside": sorted(self.guess.beside),
        }  # fmt: skip
        return {**values, "source": source, "guess": guess, "records": self.records, "rows": self.rows}

    @property
    def readable(self) -> bool:
        """Return whether any record could be parsed, even if it fits no layout."""
        return bool(self.unknown) or any(file.layouts for file in self.files)


def preview(
    source: Source,
    *,
    files: list[File] | None = None,
    rows: int = 5,
    limits: Limits | None = None,
    complete: Complete | None = None,
    guess: Guess | None = None,
    apply_guess: bool = False,
) -> Preview:
    """Read the first records of a source's files, within limits, and return counts, examples and suggestions.

    Args:
        files: The files to preview. Default: those that a run reads.
        rows: Number of example rows to return.
        complete: Fills in domain and language if the source does not define them.
        guess: The guess for records of unknown layout, to be shown.
        apply_guess: Whether to read such records by the guess.

    Raises:
        InfinityError: `layout` or `fields` of the source is invalid.
    """
    limits = limits or Limits()
    mapping = FieldMapping(source.fields, source.keep)
    paths = source.files() if files is None else files
    chosen = _choose_files(paths, limits.files)
    members = None if limits.files is None else max(3, limits.files // max(len(chosen), 1))
    seen = _Collector(source, mapping, limits, rows, members, guess if apply_guess else None)
    for path in chosen:
        seen.look(path)
    left_out = source.find_unread() if files is None else {}
    return Preview(
        source,
        seen.files,
        there=len(paths),
        looked_at=len(chosen),
        more_in=seen.more_in,
        left_out=dict(sorted((left_out | seen.left_out).items())),
        examples=_complete_examples(source, seen.examples(), complete),
        unknown=seen.unknown(),
        dropped=sorted(seen.dropped.values(), key=lambda one: (-one.records, one.reason)),
        unread=find_unread(combine(seen.account.table(source.name).lazy())).collect().to_dicts(),
        guess=guess,
        guess_applied=apply_guess and guess is not None,
        unfound=mapping.unfound if seen.files else {},
    )


def merge_unknown(values: list[tuple[str, int, list[object]]], source: Source | None = None) -> list[Unknown]:
    """Suggest `source.yaml` lines for records in no known layout, and merge the shapes that need the same lines.

    Args:
        values: For each shape, its name, its number of records and a sample of them.
        source: The source. If its `layout` or `fields` keeps records from being read, the lines say so.

    Returns:
        One entry for each suggestion, with empty `files` and `example`.
    """
    found: dict[str, Unknown] = {}
    for shown, count, sample in sorted(values, key=lambda one: (-one[1], one[0])):
        best = _advise(sample, source)
        one = found.setdefault(best.lines, Unknown({}, best.lines, 0, 0, [], "", best.rows, sample))
        one.shapes[shown] = count
        one.tried += best.tried
        one.fit += best.fit
    return list(found.values())


def find_advice(source: Source, files: list[File] | None = None) -> dict[str, object]:
    """Return the suggested values of `layout` and `fields` for a source's `source.yaml`; empty if it needs none.

    Args:
        files: The files to preview. Default: those that a run reads.

    Raises:
        InfinityError: Nothing plausible can be suggested, or the suggestion does not suit nearly all records.
    """
    before = preview(source, files=files, rows=0)
    if not before.unknown:
        return {}
    advice = yaml.safe_load(before.unknown[0].lines)
    if not advice:
        raise InfinityError(
            f"{source.name}: there is no plausible suggestion; `infinity sources preview` shows the keys to map."
        )
    after = preview(source.model_copy(update=advice), files=files, rows=0)
    if after.rows < max(MIN_FIT * after.records, before.rows + 1):
        raise InfinityError(
            f"{source.name}: the suggestion would read {after.rows:,} of {after.records:,} records "
            f"({before.rows:,} without it): make the files that need it a source of their own."
        )
    return advice


def _advise(sample: list[object], source: Source | None) -> Suggestion:
    if source and (source.layout or source.fields):
        layouts = {layout_of(value) for value in sample}
        if None not in layouts:
            names = " or ".join(sorted(map(str, layouts)))
            lines = f"# Without `layout` and `fields` these records are read as {names}."
            return Suggestion(lines, None, len(sample), len(sample), [])
    return suggest(sample)


def _choose_files(paths: list[File], most: int | None) -> list[File]:
    """Return the files to preview, limited by number and total size."""
    if most is None:
        return paths
    selection = _choose_by_suffix(paths, most)
    size = sum(min(os.stat(file.path).st_size, 2 * BLOCK) for file in selection)
    return selection if size <= MAX_BYTES else _choose_by_suffix(selection, max(1, len(selection) * MAX_BYTES // size))


def _choose_by_suffix(paths: list[File], most: int) -> list[File]:
    """Return about `most` files: of each suffix in proportion to its frequency, and at least two."""
    if len(paths) <= most:
        return paths
    kinds: dict[str, list[File]] = {}
    for path in paths:
        kinds.setdefault(plain_suffix(PurePosixPath(path.name)), []).append(path)
    chosen = {path for alike in kinds.values() for path in _spread(alike, max(2, most * len(alike) // len(paths)))}
    return [path for path in paths if path in chosen]


def _spread(items: list[T], count: int) -> list[T]:
    """Return `count` items evenly spread from the first to the last, or all if there are fewer."""
    if len(items) <= count:
        return items
    return [items[round(place * (len(items) - 1) / max(count - 1, 1))] for place in range(count)]


class _Thinned(Generic[T]):
    """An evenly spread sample of a stream. Above twice the wanted size, every second item is removed."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._every = 1
        self._count = 0
        self._items: list[T] = []

    def wants_next(self) -> bool:
        """Return whether to `add` the next item of the stream. Must be called once for each item."""
        self._count += 1
        return self._wanted > 0 and (self._count - 1) % self._every == 0

    def add(self, item: T) -> None:
        self._items.append(item)
        if len(self._items) > 2 * self._wanted:
            self._items = self._items[::2]
            self._every = 2 * self._every

    def items(self) -> list[T]:
        return _spread(self._items, self._wanted)


class _Collector:
    """Collects the counts, examples and unknown records of a preview."""

    def __init__(
        self,
        source: Source,
        mapping: FieldMapping,
        limits: Limits,
        rows: int,
        members: int | None,
        guess: Guess | None = None,
    ) -> None:
        self._source = source
        self._batches = Batches(source)
        self._mapping = mapping
        self._read = make_reader(mapping, source.layout, guess, find_numbers_from_one(source))
        self._limits = limits
        self._wanted = rows
        self._members = members
        self.account = Account(lambda record: self._read(record)[1])
        self.files: list[FileSeen] = []
        self.more_in: list[str] = []
        self.left_out: dict[str, str] = {}
        self.dropped: dict[str, Dropped] = {}
        self._examples: list[list[Example]] = []
        self._shapes: dict[str, list[object]] = {}
        self._counts: Counter[str] = Counter()
        self._where: dict[str, tuple[list[str], str]] = {}
        """For each shape, the files that contain it and its first record as JSON."""

    def look(self, at_hand: File) -> None:
        """Preview a file, or the first members of an archive."""
        file = at_hand.name
        members = 0

        def wanted(member: str) -> bool:
            why = self._source.reason_to_skip(file, member)
            if why:
                self.left_out[f"{file}{MEMBER}{member}"] = why
            return why is None

        at = file
        with open(at_hand.path, "rb") as stream:
            head = stream.peek(8)
            packed = compression_of(head)
            # Skipping a file in a tar means reading it; in a zip it costs nothing.
            large = os.stat(at_hand.path).st_size > MAX_SKIPPED
            slow = large and self._members is not None and not head.startswith(b"PK")
            try:
                for opened in open_files(stream, file, wanted):
                    if members > 0 and (members == self._members or (self._members and stream.tell() > MAX_BYTES)):
                        self.more_in.append(file)
                        break
                    at = opened.file
                    members = members + 1
                    self._add_file(opened, packed)
                    if slow and MEMBER in at and not self.files[-1].whole:
                        self.more_in.append(file)
                        break
            except DAMAGE as error:
                damaged = Block(at, "lines", 0, b"", fault=f"{type(error).__name__}: {' '.join(str(error).split())}")
                if not self.files or self.files[-1].file != at:
                    self.files.append(FileSeen(at, "unreadable"))
                self._add_records(damaged, self.files[-1], _Thinned(0))

    def examples(self) -> list[Example]:
        """Return example rows, spread over the files and their records."""
        by_file = _spread(self._examples, self._wanted)
        by_file = [_spread(examples, -(-self._wanted // len(by_file))) for examples in by_file]
        # Take the first row of each file, then the second of each.
        ranked = [one for rank in zip_longest(*by_file) for one in rank if one]
        return sorted(ranked[: self._wanted], key=lambda one: (one.file, one.position))

    def unknown(self) -> list[Unknown]:
        """Return the records in no known layout with the suggested lines."""
        shapes = [(shown, self._counts[shown], sample) for shown, sample in self._shapes.items()]
        found = merge_unknown(shapes, self._source)
        for one in found:
            one.files = list(dict.fromkeys(file for shown in one.shapes for file in self._where[shown][0]))
            one.example = self._where[next(iter(one.shapes))][1]
        return found

    def _add_file(self, opened: Opened, packed: str | None) -> None:
        examples: _Thinned[Example] = _Thinned(self._wanted)
        file: FileSeen | None = None
        for block in map(self._batches.join, blocks_of(opened)):
            if file is None:
                outer = plain_suffix(PurePosixPath(opened.file.split(MEMBER)[0]))
                archive = None if MEMBER not in opened.file else "zip" if outer == ".zip" else "tar"
                file = FileSeen(opened.file, " in ".join(filter(None, (block.container, archive, packed))))
                self.files.append(file)
            if not self._add_records(block, file, examples):
                file.whole = False
                break
        if file is None:
            self.files.append(FileSeen(opened.file, "empty"))
        self._examples += filter(None, [examples.items()])

    def _add_records(self, block: Block, file: FileSeen, examples: _Thinned[Example]) -> bool:
        """Add the records of a block. Return false if the limit of records per file ended it."""
        for record in block.records():
            if self._limits.records is not None and file.records >= self._limits.records:
                return False
            layout, outcomes = (
                (None, [Rejected(record.error, record.message)]) if record.error else self._read(record.value)
            )
            if layout:
                file.layouts[layout] += 1
                self.account.add(layout, record.value, outcomes, self._mapping.annotations_of(record.value))
            for outcome in outcomes:
                file.records += 1
                if isinstance(outcome, Rejected):
                    file.dropped[outcome.reason] += 1
                    self._add_dropped(block, record, outcome)
                    continue
                file.rows += 1
                repair = "+".join(filter(None, (record.repair, outcome.repair))) or None
                if repair:
                    file.repaired[repair] += 1
                if examples.wants_next():
                    examples.add(self._make_example(block.file, record, layout or "", outcome, repair))
        return True

    def _make_example(self, file: str, record: Record, layout: str, row: Parsed, repair: str | None) -> Example:
        kept = {**(row.kept or {}), **self._mapping.annotations_of(record.value)}
        annotations = {name: as_json(value).decode(errors="replace") for name, value in kept.items()}
        return Example(file, record.position, layout, row.messages, row.kind, self._source.licence, repair, annotations)

    def _add_dropped(self, block: Block, record: Record, why: Rejected) -> None:
        known = self.dropped.get(why.reason)
        if known is None:
            raw = block.with_raw([record])[0].raw or b""
            known = Dropped(why.reason, block.file, record.position, why.message, _quote(raw))
            self.dropped[why.reason] = known
        known.records += 1
        if why.reason != UNKNOWN_LAYOUT:
            return
        shown = shape(record.value)
        if shown not in self._shapes:
            if len(self._shapes) >= MAX_SHAPES:
                return
            self._shapes[shown] = []
            self._where[shown] = ([], _quote(as_json(record.value)))
        self._counts[shown] += 1
        files = self._where[shown][0]
        sample = self._shapes[shown]
        if len(sample) < MAX_VALUES:
            sample.append(record.value)
        if block.file not in files[-1:]:
            files.append(block.file)


def _quote(raw: bytes) -> str:
    return raw[: 4 * EVIDENCE_CHARS].decode(errors="replace")[:EVIDENCE_CHARS]


def _complete_examples(source: Source, examples: list[Example], complete: Complete | None) -> list[Example]:
    """Fill in domain and language of the examples, from the source or with `complete`."""
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
    labels = (complete(rows) if complete and examples else rows).select("domain", "language").rows()
    return [replace(one, domain=label[0], language=label[1]) for one, label in zip(examples, labels, strict=True)]
