"""Reading of a source folder into tables: its rows, and the decisions about its records.

The main process cuts files into blocks. Worker processes parse them and write their tables as Parquet, so only a few
blocks are in memory at a time. No content stops the reading: a record becomes a row, or a decision with the reason.
"""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl
import pyarrow as pa

from infinity_assets.errors import InfinityError
from infinity_assets.reading.batches import Batches
from infinity_assets.reading.containers import Block, Record, as_json, read_blocks
from infinity_assets.reading.containers.base import BLOCK
from infinity_assets.reading.guess import Guess, ReadNamed, make_reader
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.numbering import find_numbers_from_one
from infinity_assets.reading.sources import Source
from infinity_assets.reading.unread import PARTS, Account, combine
from infinity_assets.rows import schema
from infinity_assets.rows.frames import conform
from infinity_assets.rows.grammar import Rejected
from infinity_assets.rows.ids import row_id

EVIDENCE_CHARS = 2000
"""Maximum number of characters of a record that a decision quotes."""

UNIT = BLOCK // 2
"""Minimum size of a unit of work in bytes. A full block, which is a little smaller than `BLOCK`, is one unit."""

MAX_BLOCKS = 2000
"""Maximum number of blocks in a unit of work, so that a folder of many tiny files becomes several units."""

TABLES: dict[str, pl.Schema] = {
    "rows": schema.ROW,
    "decisions": schema.DECISIONS,
    "annotations": schema.ANNOTATIONS,
    "quarantine": schema.QUARANTINE,
    "files": schema.FILES,
    "keys": schema.KEYS,
}
"""The tables that reading a source makes, and their schemas."""

Complete = Callable[[pl.DataFrame], pl.DataFrame]
"""Function that fills in columns that the source does not define. It must be picklable for the worker processes."""


class Reading(NamedTuple):
    """The tables read from a source, in the order of file and position.

    Their schemas are `TABLES`. `records = rows + dropped decisions`; a record with n conversations counts n times. The
    tables are files in the scratch folder and can be used only as long as it exists.
    """

    rows: pl.LazyFrame
    decisions: pl.LazyFrame
    """One decision per dropped record (`row_id` is null) and per repaired row."""
    annotations: pl.LazyFrame
    quarantine: pl.LazyFrame
    files: pl.LazyFrame
    keys: pl.LazyFrame
    records: int


def read_source(
    source: Source,
    scratch: Path,
    *,
    workers: int = 1,
    complete: Complete | None = None,
    guess: Guess | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reading:
    """Read a source into tables.

    Args:
        scratch: An empty folder for the tables.
        workers: Number of parsing processes. It does not affect the result.
        complete: Fills in domain and language if the source does not define them.
        guess: How to read records of unknown layout.
        progress: Called with the number of stored (compressed) bytes read so far and in total.

    Raises:
        InfinityError: A parsing process was killed.
    """
    results = _read_units(
        workers,
        _Plan(source, scratch, complete, guess, find_numbers_from_one(source)),
        _units(source, progress or (lambda done, total: None)),
    )
    records = sum(results)
    tables = {}
    for name, columns in (TABLES | {"keys": PARTS}).items():
        parts = sorted(scratch.glob(f"{name}-*.parquet"))
        tables[name] = pl.scan_parquet(parts, glob=False) if parts else columns.to_frame(eager=False)
    # A file that was read in several units has one row per unit.
    counts = [pl.col(name).sum() for name in ("records", "rows", "repaired", "dropped")]
    tables["files"] = (
        tables["files"].group_by("source", "file", maintain_order=True).agg(*counts).select(list(schema.FILES))
    )
    tables["keys"] = combine(tables["keys"])
    return Reading(**tables, records=records)


def records_of(source: Source) -> Iterator[tuple[str, Record]]:
    """Yield each record of a source with its file name, in order, without layouts and without other processes."""
    for unit in _units(source, lambda done, total: None):
        for block in unit:
            yield from ((block.file, record) for record in block.records())


def start_processes(workers: int) -> None:
    """Start the worker processes of `read_source` early, so that their imports run in the background."""
    if workers > 1:
        for _ in range(workers):
            _processes(workers).submit(os.getpid)


class _Plan(NamedTuple):
    """The parameters of a reading that a worker needs."""

    source: Source
    scratch: Path
    complete: Complete | None
    guess: Guess | None
    from_one: frozenset[str]
    """Keys whose numbers of right options count from 1."""


def _units(source: Source, progress: Callable[[int, int], None]) -> Iterator[list[Block]]:
    """Yield units of work: lists of blocks of similar total size, independent of the number of workers."""
    files = source.files()
    batches = Batches(source)
    sizes = [os.stat(file.path).st_size for file in files]
    total = sum(sizes)
    done = 0
    unit: list[Block] = []
    size = 0
    for file, stored in zip(files, sizes, strict=True):
        with open(file.path, "rb") as stream:
            for block in read_blocks(stream, file.name, lambda member, file=file.name: source.wants(file, member)):
                unit.append(batches.join(block))
                size += len(block.data)
                if size >= UNIT or len(unit) >= MAX_BLOCKS:
                    yield unit
                    unit = []
                    size = 0
                    progress(done + stream.tell(), total)
        done += stored
    if unit:
        yield unit
    progress(total, total)


def _read_units(workers: int, plan: _Plan, units: Iterator[list[Block]]) -> Iterator[int]:
    """Read the units and yield their numbers of records in order. A single unit or worker needs no other process."""
    first = next(units, None)
    second = next(units, None) if workers > 1 else None
    if first is None:
        return
    numbered = enumerate(chain(filter(None, (first, second)), units))
    if second is None:
        yield from (_read_unit(plan, number, unit) for number, unit in numbered)
        return
    pool = _processes(workers)
    running = deque[Future[int]]()
    try:
        for number, unit in numbered:
            running.append(pool.submit(_read_unit, plan, number, unit))
            if len(running) >= 2 * workers:  # as many waiting as running, so that no worker waits for a block
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool:
        _processes.cache_clear()
        raise InfinityError(
            f"a process that read `{plan.source.name}` was killed, probably because memory ran out: "
            "try INFINITY_INGEST__WORKERS=1."
        ) from None
    finally:
        for future in running:
            future.cancel()


@cache
def _processes(workers: int) -> ProcessPoolExecutor:
    """Return the parsing processes, which are kept for the next source."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_initialize)


def _initialize() -> None:
    """Set up a parsing process: one Polars thread, no handling of interrupts, and an end when the parent ends."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent closes its end of the queue, but each worker holds it open for the others: all would wait forever.
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


class _Tables:
    """The contents of the tables of one unit of work."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.roles: list[str] = []
        self.contents: list[str] = []
        self.ends = [0]
        self.places: list[tuple[str, int]] = []
        """File and position of each row."""
        self.kinds: list[str] = []
        self.decided: list[tuple[int | None, str, int, str, str, str]] = []
        """For each decision: index of the row or `None`, file, position, verdict, reason, detail."""
        self.kept: list[tuple[int, str, int, str, str]] = []
        """For each annotation: index of the row, file, position, name, value."""
        self.raw: list[tuple[str, int, bytes]] = []
        self.files: list[tuple[str, int, int, int, int]] = []


def _read_unit(plan: _Plan, number: int, unit: list[Block]) -> int:
    """Read the blocks of a unit, write its tables and return the number of records."""
    mapping = FieldMapping(plan.source.fields, plan.source.keep)
    read = make_reader(mapping, plan.source.layout, plan.guess, plan.from_one)
    tables = _Tables(Account(lambda record: read(record)[1], number))
    with _without_collector():
        for block in unit:
            _read_block(block, read, mapping, tables)
    for name, table in _frames(plan, tables).items():
        if table.height:
            table.write_parquet(plan.scratch / f"{name}-{number:06}.parquet", compression="lz4")
    return sum(records for _, records, *_ in tables.files)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Turn off the search for garbage: records are trees, which are freed without it, and it costs a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _read_block(block: Block, read: ReadNamed, mapping: FieldMapping, tables: _Tables) -> None:
    before = len(tables.kinds)
    records = 0
    flagged: list[tuple[Record, int | None, str, str | None]] = []
    """For each dropped or repaired record: the record, index of its row or `None`, reason, message."""
    for record in block.records():
        name, outcomes = (None, [Rejected(record.error, record.message)]) if record.error else read(record.value)
        annotations = mapping.annotations_of(record.value) if mapping.keeps else {}
        if name:
            tables.account.add(name, record.value, outcomes, annotations)
        for outcome in outcomes:
            records += 1
            if isinstance(outcome, Rejected):
                flagged.append((record, None, outcome.reason, outcome.message))
                continue
            row = len(tables.kinds)
            if record.repair or outcome.repair:
                flagged.append((record, row, "+".join(filter(None, (record.repair, outcome.repair))), None))
            for label, value in {**(outcome.kept or {}), **annotations}.items():
                tables.kept.append((row, block.file, record.position, label, as_json(value).decode(errors="replace")))
            for message in outcome.messages:
                tables.roles.append(message["role"])
                tables.contents.append(message["content"])
            tables.ends.append(len(tables.roles))
            tables.places.append((block.file, record.position))
            tables.kinds.append(outcome.kind)
    for (record, row, reason, message), whole in zip(
        flagged, block.with_raw([record for record, *_ in flagged]), strict=True
    ):
        raw = whole.raw or b""
        quoted = raw[: 4 * EVIDENCE_CHARS].decode(errors="replace")[:EVIDENCE_CHARS]
        detail = orjson.dumps({"raw": quoted, "error": message}).decode()
        tables.decided.append(
            (row, block.file, record.position, "dropped" if row is None else "repaired", reason, detail)
        )
        if not tables.raw or tables.raw[-1][:2] != (block.file, record.position):
            tables.raw.append((block.file, record.position, raw))
    rows = len(tables.kinds) - before
    dropped = sum(row is None for _, row, *_ in flagged)
    tables.files.append((block.file, records, rows, len(flagged) - dropped, dropped))


def _frames(plan: _Plan, tables: _Tables) -> dict[str, pl.DataFrame]:
    source = plan.source
    turns = pa.StructArray.from_arrays(
        [pa.array(tables.roles, pa.large_string()), pa.array(tables.contents, pa.large_string())], ["role", "content"]
    )
    messages = pa.LargeListArray.from_arrays(pa.array(tables.ends, pa.int64()), turns)
    ids = [row_id(tables.roles[start:end], tables.contents[start:end]) for start, end in pairwise(tables.ends)]
    constants = {"source": source.name, "licence": source.licence, "domain": source.domain, "language": source.language}
    frame = pl.DataFrame(
        {
            "row_id": ids,
            "messages": pl.Series(messages, dtype=schema.MESSAGES),
            "file": [file for file, _ in tables.places],
            "position": [position for _, position in tables.places],
            "kind": tables.kinds,
        },
        schema_overrides={"row_id": pl.String, "file": pl.String, "position": pl.Int64, "kind": pl.String},
    ).with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in constants.items())
    rows = conform(frame, schema.ROW)
    name = source.name
    return {
        "rows": plan.complete(rows) if plan.complete else rows,
        "decisions": _table(
            "decisions", [(None if row is None else ids[row], name, *rest) for row, *rest in tables.decided]
        ),
        "annotations": _table("annotations", [(ids[row], name, *rest) for row, *rest in tables.kept]),
        "quarantine": _table("quarantine", [(name, *rest) for rest in tables.raw]),
        "files": _table("files", [(name, *rest) for rest in tables.files]),
        "keys": tables.account.table(name),
    }


def _table(name: str, records: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(records, schema=TABLES[name], orient="row")
