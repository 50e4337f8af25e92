"""From a source folder to frames: its rows, and what was decided about its records.

Nothing that a file holds ends a reading. A record becomes a row, or a decision that says why not.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import orjson
import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.grammar import Rejected
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.rows.readers.containers import Record, read_records
from infinity_assets.rows.readers.layouts import Parsed, parse
from infinity_assets.rows.sources import Source, data_files, relative

BATCH = 20_000
"""Records held as Python objects at a time; everything else is in Arrow."""

EVIDENCE_CHARS = 2000
"""How much of a record a decision quotes."""


class Reading(NamedTuple):
    """A source as it was read. `records = rows.height + dropped decisions`; a record with n instances counts n times."""

    rows: pl.DataFrame
    """`schema.ROW`, by file and position."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`, by file and position: what was dropped (no row id) and what was repaired (the id of the repaired row)."""
    records: int


def read_source(source: Source, progress: Callable[[int], None] | None = None) -> Reading:
    """The rows of a source; their domain and language are null unless it says them. `progress` is told the rows so far after each batch."""
    readings: list[Reading] = []
    for path in data_files(source.path):
        file = relative(path, source.path)
        for batch in _batches(read_records(path)):
            readings.append(_read_batch(source, file, batch))
            if progress:
                progress(sum(reading.rows.height for reading in readings))
    return Reading(
        rows=pl.concat([schema.empty(schema.ROW), *(reading.rows for reading in readings)]),
        decisions=pl.concat([schema.empty(schema.DECISIONS), *(reading.decisions for reading in readings)]),
        records=sum(reading.records for reading in readings),
    )


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    return iter(lambda: list(islice(iterator, BATCH)), [])


def _read_batch(source: Source, file: str, records: list[Record]) -> Reading:
    """The reading of a run of records of one file."""
    parsed: list[Parsed] = []
    positions: list[int] = []
    decided: list[tuple[int | None, int, str, str, str]] = []
    """Index of the row, if there is one; position; verdict; reason; detail."""
    total = 0
    for record in records:
        for outcome in _outcomes(record, source.layout):
            total += 1
            if isinstance(outcome, Rejected):
                decided.append((None, record.position, "dropped", outcome.reason, _detail(record, outcome.message)))
                continue
            if repairs := [repair for repair in (record.repair, outcome.repair) if repair]:
                decided.append((len(parsed), record.position, "repaired", "+".join(repairs), _detail(record, None)))
            parsed.append(outcome)
            positions.append(record.position)

    said = {"source": source.name, "file": file, "licence": source.licence, "domain": source.domain, "language": source.language}
    columns = {
        "messages": pl.Series([row.messages for row in parsed], dtype=schema.MESSAGES),
        "position": positions,
        "kind": [row.kind for row in parsed],
    }
    frame = pl.DataFrame(columns, schema_overrides=schema.ROW).with_columns(pl.lit(value).alias(name) for name, value in said.items())
    rows = with_row_ids(frame).select(pl.col(name).cast(dtype) for name, dtype in schema.ROW.items())
    ids = rows["row_id"].to_list()
    decisions = [
        (None if row is None else ids[row], source.name, file, position, verdict, reason, detail)
        for row, position, verdict, reason, detail in decided
    ]
    return Reading(rows, pl.DataFrame(decisions, schema=schema.DECISIONS, orient="row"), total)


def _outcomes(record: Record, layout: str | None) -> list[Parsed | Rejected]:
    return [Rejected(record.error, record.message)] if record.error else parse(record.value, layout)


def _detail(record: Record, error: str | None) -> str:
    return orjson.dumps({"raw": record.text[:EVIDENCE_CHARS], "error": error}).decode()
