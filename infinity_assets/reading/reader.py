"""From a source folder to tables: its rows, and what was decided about its records.

Files are cut into blocks here and parsed by several processes, each of which writes what it read as Parquet: no more than a few blocks are in
memory at a time, however large the source. Nothing that a file holds ends a reading: a record becomes a row, or a decision that says why not.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl
import pyarrow as pa

from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import Block, Record, as_json, read_blocks
from infinity_assets.reading.containers.base import BLOCK
from infinity_assets.reading.layouts import parse
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.sources import Source
from infinity_assets.rows import schema
from infinity_assets.rows.grammar import Rejected
from infinity_assets.rows.ids import row_id

EVIDENCE_CHARS = 2000
"""How much of a record a decision quotes."""

UNIT = BLOCK // 2
"""Bytes that make a unit of work: a whole block, which ends a little before its size, is one."""

MAX_BLOCKS = 2000
"""Blocks in one unit of work: a folder of tiny files is not one unit."""

TABLES: dict[str, pl.Schema] = {
    "rows": schema.ROW,
    "decisions": schema.DECISIONS,
    "annotations": schema.ANNOTATIONS,
    "quarantine": schema.QUARANTINE,
    "files": schema.FILES,
}
"""What a reading makes."""

Complete = Callable[[pl.DataFrame], pl.DataFrame]
"""Fills in what the source does not say about its rows. A function of a module: it is called in other processes."""


class Reading(NamedTuple):
    """A source as it was read, by file and position. `records = rows + dropped decisions`: a record with n conversations counts n times.

    The tables are files in the scratch folder: they are good as long as it is there.
    """

    rows: pl.LazyFrame
    """`schema.ROW`."""
    decisions: pl.LazyFrame
    """`schema.DECISIONS`: what was dropped (no row id) and what was repaired (the id of the repaired row)."""
    annotations: pl.LazyFrame
    """`schema.ANNOTATIONS`: what records say beside their conversations."""
    quarantine: pl.LazyFrame
    """`schema.QUARANTINE`: the bytes of every record that was dropped or repaired."""
    files: pl.LazyFrame
    """`schema.FILES`: what was found in each file."""
    records: int


def read_source(
    source: Source,
    scratch: Path,
    *,
    workers: int = 1,
    complete: Complete | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reading:
    """Read a source.

    Args:
        source: The source.
        scratch: An empty folder for the tables.
        workers: Processes that parse. The result does not depend on it.
        complete: What fills in domain and language where the source does not say them.
        progress: Is told the bytes read and the bytes there are, as stored.
    """
    results = _mapped(workers, _Plan(source, scratch, complete), _units(source, progress or (lambda done, total: None)))
    records = sum(results)
    tables = {}
    for name, columns in TABLES.items():
        parts = sorted(scratch.glob(f"{name}-*.parquet"))
        tables[name] = pl.scan_parquet(parts, glob=False) if parts else schema.empty(columns).lazy()
    # A file that was read in several units has a line for each.
    counts = [pl.col(name).sum() for name in ("records", "rows", "repaired", "dropped")]
    tables["files"] = (
        tables["files"].group_by("source", "file", maintain_order=True).agg(*counts).select(list(schema.FILES))
    )
    return Reading(**tables, records=records)


def records_of(source: Source) -> Iterator[tuple[str, Record]]:
    """Every record of a source as its containers give it, with the name of its file: one after the other, in this process."""
    for unit in _units(source, lambda done, total: None):
        for block in unit:
            yield from ((block.file, record) for record in block.records())


def start_processes(workers: int) -> None:
    """Start the processes that `read_source` will use with so many workers: their imports run beside whatever the caller does next."""
    if workers > 1:
        for _ in range(workers):
            _processes(workers).submit(os.getpid)


class _Plan(NamedTuple):
    """What a worker has to know."""

    source: Source
    scratch: Path
    complete: Complete | None


def _units(source: Source, progress: Callable[[int, int], None]) -> Iterator[list[Block]]:
    """Runs of blocks of about the same size: what one worker does at a time. They do not depend on the number of workers."""
    files = source.files()
    sizes = [os.stat(file.path).st_size for file in files]
    total, done = sum(sizes), 0
    unit: list[Block] = []
    size = 0
    for file, stored in zip(files, sizes, strict=True):
        with open(file.path, "rb") as stream:
            for block in read_blocks(stream, file.name, lambda member, file=file.name: source.wants(file, member)):
                unit.append(block)
                size += len(block.data)
                if size >= UNIT or len(unit) >= MAX_BLOCKS:
                    yield unit
                    unit, size = [], 0
                    progress(done + stream.tell(), total)
        done += stored
    if unit:
        yield unit
    progress(total, total)


def _mapped(workers: int, plan: _Plan, units: Iterator[list[Block]]) -> Iterator[int]:
    """The records of each unit, in order. With one unit, or one worker, all is done here."""
    first = next(units, None)
    second = next(units, None) if workers > 1 else None
    if first is None:
        return
    numbered = enumerate(unit for unit in _chained(first, second, units))
    if second is None:
        yield from (_read_unit(plan, number, unit) for number, unit in numbered)
        return
    pool, running = _processes(workers), deque[Future[int]]()
    try:
        for number, unit in numbered:
            running.append(pool.submit(_read_unit, plan, number, unit))
            if len(running) >= 2 * workers:  # as many waiting as can run, so that none waits for the next block
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool:
        _processes.cache_clear()
        raise InfinityError(
            f"a process that read `{plan.source.name}` was killed, most likely for want of memory: try with INFINITY_INGEST__WORKERS=1."
        ) from None
    finally:
        for future in running:
            future.cancel()


def _chained(first: list[Block], second: list[Block] | None, units: Iterator[list[Block]]) -> Iterator[list[Block]]:
    yield first
    if second is not None:
        yield second
    yield from units


@cache
def _processes(workers: int) -> ProcessPoolExecutor:
    """The reading processes, kept for the next source."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Set up a reading process: one thread, since there is a process for every core; interrupts are the parent's to handle; no life after it."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A parent that was killed closes its end of the queue, but each worker holds that end open for the others: they would wait for ever.
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


class _Tables:
    """What was found in a unit, as it is collected."""

    def __init__(self) -> None:
        self.roles: list[str] = []
        self.contents: list[str] = []
        self.ends = [0]
        self.places: list[tuple[str, int]] = []
        """File and position of each row."""
        self.kinds: list[str] = []
        self.decided: list[tuple[int | None, str, int, str, str, str]] = []
        """Index of the row, if there is one; file; position; verdict; reason; detail."""
        self.kept: list[tuple[int, str, int, str, str]] = []
        """Index of the row; file; position; name; value."""
        self.raw: list[tuple[str, int, bytes]] = []
        self.files: list[tuple[str, int, int, int, int]] = []


def _read_unit(plan: _Plan, number: int, unit: list[Block]) -> int:
    """Read the blocks of a unit and write its tables. Returns the number of records."""
    found, mapping = _Tables(), FieldMapping(plan.source.fields, plan.source.keep)
    for block in unit:
        _read_block(block, plan.source.layout, mapping, found)
    for name, table in _frames(plan, found).items():
        if table.height:
            table.write_parquet(plan.scratch / f"{name}-{number:06}.parquet", compression="lz4")
    return sum(records for _, records, *_ in found.files)


def _read_block(block: Block, layout: str | None, mapping: FieldMapping, found: _Tables) -> None:
    before, records = len(found.kinds), 0
    flagged: list[tuple[Record, int | None, str, str | None]] = []
    """Record, index of its row if there is one, reason, message."""
    for record in block.records():
        outcomes = [Rejected(record.error, record.message)] if record.error else parse(mapping(record.value), layout)
        also = mapping.kept(record.value) if mapping.keeps else {}
        for outcome in outcomes:
            records += 1
            if isinstance(outcome, Rejected):
                flagged.append((record, None, outcome.reason, outcome.message))
                continue
            row = len(found.kinds)
            if record.repair or outcome.repair:
                flagged.append((record, row, "+".join(filter(None, (record.repair, outcome.repair))), None))
            for name, value in {**(outcome.kept or {}), **also}.items():
                found.kept.append((row, block.file, record.position, name, as_json(value).decode(errors="replace")))
            for message in outcome.messages:
                found.roles.append(message["role"])
                found.contents.append(message["content"])
            found.ends.append(len(found.roles))
            found.places.append((block.file, record.position))
            found.kinds.append(outcome.kind)
    for (record, row, reason, message), whole in zip(
        flagged, block.with_raw([record for record, *_ in flagged]), strict=True
    ):
        raw = whole.raw or b""
        quoted = raw[: 4 * EVIDENCE_CHARS].decode(errors="replace")[:EVIDENCE_CHARS]
        detail = orjson.dumps({"raw": quoted, "error": message}).decode()
        found.decided.append(
            (row, block.file, record.position, "dropped" if row is None else "repaired", reason, detail)
        )
        if not found.raw or found.raw[-1][:2] != (block.file, record.position):
            found.raw.append((block.file, record.position, raw))
    rows, dropped = len(found.kinds) - before, sum(row is None for _, row, *_ in flagged)
    found.files.append((block.file, records, rows, len(flagged) - dropped, dropped))


def _frames(plan: _Plan, found: _Tables) -> dict[str, pl.DataFrame]:
    source = plan.source
    turns = pa.StructArray.from_arrays(
        [pa.array(found.roles, pa.large_string()), pa.array(found.contents, pa.large_string())], ["role", "content"]
    )
    messages = pa.LargeListArray.from_arrays(pa.array(found.ends, pa.int64()), turns)
    ids = [row_id(found.roles[start:end], found.contents[start:end]) for start, end in pairwise(found.ends)]
    said = {"source": source.name, "licence": source.licence, "domain": source.domain, "language": source.language}
    frame = pl.DataFrame(
        {
            "row_id": ids,
            "messages": pl.Series(messages, dtype=schema.MESSAGES),
            "file": [file for file, _ in found.places],
            "position": [position for _, position in found.places],
            "kind": found.kinds,
        },
        schema_overrides={"row_id": pl.String, "file": pl.String, "position": pl.Int64, "kind": pl.String},
    ).with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in said.items())
    rows = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.ROW.items())
    name = source.name
    return {
        "rows": plan.complete(rows) if plan.complete else rows,
        "decisions": _table(
            "decisions", [(None if row is None else ids[row], name, *rest) for row, *rest in found.decided]
        ),
        "annotations": _table("annotations", [(ids[row], name, *rest) for row, *rest in found.kept]),
        "quarantine": _table("quarantine", [(name, *rest) for rest in found.raw]),
        "files": _table("files", [(name, *rest) for rest in found.files]),
    }


def _table(name: str, records: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(records, schema=TABLES[name], orient="row")
