"""`raw_pool`: the records of each source, as rows. Grain: a record of a file. Key: row_id, source, file, position."""

import json
from dataclasses import replace

import polars as pl

from infinity_assets.atomic import write_parquet
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.reading import hub
from infinity_assets.reading.guess import find_sure_guess
from infinity_assets.reading.reader import read_source
from infinity_assets.reading.sources import Source, content_fingerprint, load_source
from infinity_assets.report import charts
from infinity_assets.report.unknown_layouts import describe_guess, describe_unknown_layouts
from infinity_assets.report.unread_keys import describe_unread_keys
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.frames import count_by
from infinity_assets.scoring.content import fill_language_and_domain

_DECLARED = ("licence", "domain", "language", "url", "revision")
"""Fields of `source.yaml` that apply to all rows. A change of them does not require reading the files again."""

_READ = ("layout", "fields", "keep")
"""Fields of `source.yaml` that decide how the files are read."""

_TABLES = ("decisions", "annotations", "quarantine", "files", "keys")
"""The ledger tables that the reader fills."""


def _source(step: Step) -> Source:
    name, folder = step.partition, step.pool.source_folders().get(step.partition)
    if folder is None:
        raise InfinityError(
            f"source `{name}` has no folder in {step.pool.sources}: it was removed; run `infinity run` again."
        )
    if hub.is_pending(folder):
        raise InfinityError(f"source `{name}` has not been downloaded: `infinity sources fetch {name}`.")
    source = load_source(folder)
    if source.include and not source.files():
        raise InfinityError(
            f"source `{source.name}`: `include` in its source.yaml names no file of data ({', '.join(source.include)})."
        )
    return source


def _state(step: Step) -> dict[str, str]:
    """Return the fingerprint of the files and the fields in `_READ` and `_DECLARED`. Unchanged files are not opened."""
    source = _source(step)
    known = step.lake.catalog / "fingerprints" / f"{source.name}.json"
    return {
        f"files of {source.name}": content_fingerprint(source, known),
        f"reading of {source.name}": source.model_dump_json(include=set(_READ)),
        f"words on {source.name}": source.model_dump_json(include=set(_DECLARED)),
    }


@dataset(
    group="ingest",
    partitions="source",
    invariants=("conservation", "accounted", "grammar", "licence"),
    files=_state,
    settings=lambda s: (s.ingest.guess,),
    columns=schema.ROW,
    kinds=("polars", "parquet", "json"),
    version="6",
)
def raw_pool(step: Step) -> Outcome:
    """Every readable record of a source's files, as a row.

    Grain: one record of a file. Key: row_id, source, file, position (row_id repeats if several records have the same
    content). The ledger table `decisions` has dropped and repaired records with file, position and reason, and
    `quarantine` has their bytes. `annotations` has other fields of a record (labels, rewards, rejected answers), `files`
    has counts per file, and `keys` has counts per key with the part that reached the rows. Rows without an answer are
    kept as raw material for synthesis. Language and domain come from `source.yaml`, or else from the text.
    """
    source = _source(step)
    outcome = _relabel(step, source) or _read(step, source)
    rows, left_out = outcome.rows.lazy(), source.find_unread()
    counted = count_by(rows, "domain", "language", "kind").collect(engine="streaming")
    lengths = rows.select(conversation.content_of("user", "assistant").str.len_chars().log10())
    not_read = pl.DataFrame(list(left_out.items()), schema=schema.texts("file", "why"), orient="row")
    files = outcome.files.lazy().sort("dropped", "records", descending=True).head(20).collect()
    unknown = describe_unknown_layouts(source.name, outcome.decisions.lazy(), outcome.quarantine.lazy())
    return replace(
        outcome,
        origins=rows.select(list(schema.ORIGINS)),
        measures={
            **{name: getattr(source, name) for name in ("licence", "url", "revision")},
            "files not read": len(left_out),
        },
        charts={
            "domains and languages": charts.table(counted, rows=20),
            "length": charts.histogram(lengths.collect(engine="streaming").to_series(), "characters per row, log10"),
            "not understood": unknown,
            "guessed": describe_guess(outcome.annotations.lazy()),
            "unread keys": describe_unread_keys(outcome.keys.lazy()),
            "not read": charts.table_if_any(not_read, rows=20),
            "files": charts.table(files, rows=20),
        },
    )


def _read(step: Step, source: Source) -> Outcome:
    reading = read_source(
        source,
        step.scratch,
        workers=step.settings.ingest.workers,
        complete=fill_language_and_domain,
        guess=find_sure_guess(source, step.settings.ingest.guess),
        progress=lambda done, total: step.advance(done >> 20, total >> 20, "MiB"),
    )
    tables = {name: getattr(reading, name) for name in _TABLES}
    return Outcome(reading.rows, rows_created=reading.records, **tables)


def _relabel(step: Step, source: Source) -> Outcome | None:
    """Return the last materialization with new values of `_DECLARED`, or None if the files must be read."""
    assert step.key
    before = step.lake.manifest(step.asset, step.partition)
    words = f"words on {source.name}"
    same = before and (before.code_version, before.settings_hash) == (step.key.code_version, step.key.settings_hash)
    if before is None or not same or not step.lake.intact(before):
        return None
    if {name for name, value in step.key.inputs.items() if before.inputs.get(name) != value} != {words}:
        return None  # other inputs changed, or nothing did: then the user has forced a new reading
    previous = json.loads(before.inputs[words])
    old = step.lake.scan(step.asset, step.partition)
    rows = [pl.lit(source.licence).alias("licence")]
    for name in ("domain", "language"):
        current = getattr(source, name)
        if current != previous[name]:  # null if the field was removed: then the text decides
            rows.append(pl.lit(current, dtype=pl.String).alias(name))
    relabelled = old.with_columns(rows).map_batches(
        fill_language_and_domain, streamable=True, schema=old.collect_schema()
    )
    frames = {"rows": relabelled}
    for name in _TABLES:
        frames[name] = step.lake.ledger_table(name, step.asset, step.partition).drop("asset", "partition")
    for name, frame in frames.items():
        # A frame must not be read from the file that it will replace.
        write_parquet(frame, step.scratch / f"{name}.parquet")
        frames[name] = pl.scan_parquet(step.scratch / f"{name}.parquet", glob=False)
    return Outcome(**frames, rows_created=before.rows_created)
