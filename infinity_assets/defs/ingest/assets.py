"""Ingest: one partition per source folder.

| asset | grain | key |
|---|---|---|
| raw_pool | record of a file that could be read | row_id, source, file, position |
| synthesized_from_text | conversation about a text (`from_text.py`) | row_id |
| fingerprints | record, or conversation about a text | row_id, source, file, position |
"""

import polars as pl

from infinity_assets.catalog.lake import Outcome
from infinity_assets.dedup import exact
from infinity_assets.defs.step import Step, dataset
from infinity_assets.errors import InfinityError
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.readers.reading import read_source
from infinity_assets.rows.sources import fingerprint, load_source
from infinity_assets.scoring import domain, language


def _folder_state(step: Step) -> dict[str, str]:
    """Names, sizes and times of the files of the source: costs a stat each."""
    return {f"files of {step.partition}": fingerprint(_folder(step))}


def _folder(step: Step):
    folders = step.pool.source_folders()
    if step.partition not in folders:
        raise InfinityError(f"source `{step.partition}` has no folder in {step.pool.sources}: it was removed; run `infinity run` again.")
    return folders[step.partition]


@dataset(group="ingest", files=_folder_state, columns=schema.ROW, kinds=("polars", "parquet", "json"))
def raw_pool(step: Step) -> Outcome:
    """Every record of a source's files, as a row.

    Grain: one record of a file. Key: row_id, source, file, position (the same content may stand in several places, so row_id repeats).
    What cannot be read is in `decisions` with file, position and the raw text; what was repaired is in both. Rows without an answer are kept
    as raw material for synthesis. Language and domain come from `source.yaml`, else by rule.
    """
    source = load_source(_folder(step))
    reading = read_source(source, progress=step.advance)
    prompt, answer = conversation.content_of("user"), conversation.answer()
    rows = reading.rows.with_columns(
        pl.col("language").fill_null(language.detect(conversation.content_of("user", "assistant"))),
        pl.col("domain").fill_null(domain.classify(prompt, answer)),
    )
    return Outcome(
        rows,
        rows_created=reading.records,
        decisions=reading.decisions,
        origins=rows.select(list(schema.ORIGINS)),
        measures={"licence": source.licence, "url": source.url, "revision": source.revision},
        charts={
            "domains and languages": charts.table(
                rows.group_by("domain", "language", "kind").len("rows").sort(pl.col("rows") * -1, "domain", "language", "kind")
            ),
            "length": charts.histogram(
                rows.select(conversation.content_of("user", "assistant").str.len_chars().log10()).to_series(), "characters per row, log10"
            ),
        },
    )


@dataset(
    group="ingest",
    reads=("raw_pool", "synthesized_from_text"),
    columns={"row_id": pl.String, "content_hash": pl.String, "prompt_hash": pl.String, "chars": pl.Int64},
    meaning={
        "content_hash": "128-bit hash of the normalised conversation",
        "prompt_hash": "128-bit hash of its normalised system and user turns",
        "chars": "length of the normalised conversation",
    },
)
def fingerprints(step: Step) -> Outcome:
    """Hashes of the normalised content of every record and of every conversation about a text, per source, so that a new source is compared
    without reading the old ones again.

    Grain: one record or conversation. Key: row_id, source, file, position.
    """
    rows = pl.concat([step.read("raw_pool").select(list(schema.ROW)), step.read("synthesized_from_text").select(list(schema.ROW))])
    prints = exact.fingerprint(rows.collect())
    return Outcome(
        prints, measures={"distinct contents": prints["content_hash"].n_unique(), "distinct prompts": prints["prompt_hash"].n_unique()}
    )
