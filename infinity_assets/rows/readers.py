"""From folders to frames: the rows of a source with what was decided about its records, and the items of a benchmark.

Nothing that a file holds ends a reading. A record becomes a row, or a decision that says why not.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson
import polars as pl

from infinity_assets.rows import schema
from infinity_assets.rows.containers import Record, read_records
from infinity_assets.rows.grammar import Rejected
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.rows.layouts import Parsed, parse, text_of
from infinity_assets.rows.sources import Source, data_files, load_source, relative

BATCH = 20_000
"""Records held as Python objects at a time; everything else is in Arrow."""

EVIDENCE_CHARS = 2000
"""How much of a record a decision quotes."""

ITEM = pl.Schema(
    {
        "item_id": pl.String,
        "benchmark": pl.String,
        "file": pl.String,
        "position": pl.Int64,
        "prompt": pl.String,
        "answer": pl.String,
        "domain": pl.String,
    }
)
"""An item of a benchmark. `item_id` is `name#position`, or `name/file#position` where the benchmark has several files."""

PROMPT_KEYS = ("question", "problem", "prompt", "instruction", "input", "text", "turns", "conversations")
"""Where a benchmark keeps what it asks, best first."""

ANSWER_KEYS = ("answer", "solution", "canonical_solution", "output", "completion", "response", "target", "code")
"""Where it keeps the answer, best first."""


class Reading(NamedTuple):
    """A source as it was read. `records = rows.height + dropped decisions`; a record with n instances counts n times."""

    rows: pl.DataFrame
    """`schema.ROW`, by file and position."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`, by file and position: what was dropped (no row id) and what was repaired (the id of the repaired row)."""
    records: int


class Benchmark(NamedTuple):
    """A benchmark as it was read. `records = items.height + skipped + repeated`."""

    items: pl.DataFrame
    """`ITEM`, by file and position. Key: item_id."""
    records: int
    skipped: int
    """Records without a prompt, such as reference answers in files of their own."""
    repeated: int
    """Records that ask what another file has asked: outputs of another model. The same prompt twice in one file is two items."""


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


def read_benchmark(folder: Path) -> Benchmark:
    """The items of a benchmark folder, and the count of what is no item. The domain is null unless the folder's `source.yaml` says."""
    source = load_source(folder)
    files = data_files(folder)
    items = []
    records = 0
    for path in files:
        file = relative(path, folder)
        prefix = f"{source.name}/{file}" if len(files) > 1 else source.name
        for record in read_records(path):
            records += 1
            prompt, answer = _prompt_and_answer(record.value)
            if prompt:
                items.append((f"{prefix}#{record.position}", source.name, file, record.position, prompt, answer, source.domain))
    found = pl.DataFrame(items, schema=ITEM, orient="row")
    occurrence = pl.int_range(pl.len()).over("file", "prompt").alias("occurrence")
    unique = found.with_columns(occurrence).unique(["prompt", "occurrence"], keep="first", maintain_order=True).drop("occurrence")
    return Benchmark(unique, records, skipped=records - found.height, repeated=found.height - unique.height)


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


def _prompt_and_answer(value: object) -> tuple[str, str | None]:
    """The prompt of a benchmark record, blank if it has none, and its answer."""
    if not isinstance(value, dict):
        return "", None
    fields = {str(key).lower(): content for key, content in value.items()}
    match fields.get("instances"):
        case [dict() as instance, *_]:
            fields |= instance
    prompt = next(filter(None, (_spoken(fields.get(key)) for key in PROMPT_KEYS)), "")
    if "instruction" in fields and (context := _spoken(fields.get("input"))) and context != prompt:
        prompt = f"{prompt}\n\n{context}"
    return prompt, next(filter(None, (text_of(fields.get(key)) for key in ANSWER_KEYS)), None)


def _spoken(value: object) -> str:
    """A text, or a list of turns (texts, or objects with content) joined by newlines; blank for anything else."""
    turns = [turn.get("content") if isinstance(turn, dict) else turn for turn in value] if isinstance(value, list) else [value]
    return "\n".join(turn.strip() for turn in turns if isinstance(turn, str)).strip()
