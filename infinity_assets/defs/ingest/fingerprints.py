"""`fingerprints`: the hashes and MinHash signatures that de-duplication works on."""

from collections.abc import Iterator

import polars as pl

from infinity_assets.catalog.lake import Outcome, file_hash
from infinity_assets.dedup import fingerprints as fingerprints_of
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.parallel import in_order, lazily
from infinity_assets.settings import Settings

_BATCH = 10_000
"""Rows that are signed at a time."""


def _scores(step: Step) -> dict[str, str]:
    """The scores lie beside the rows: rows that stayed the same may have other ones."""
    file = step.lake.book_file("annotations", "raw_pool", step.partition)
    return {"annotations": file_hash(file)} if step.settings.dedup.score and file.exists() else {}


@dataset(
    group="ingest",
    partitions="source",
    reads=("raw_pool", "synthesized_from_text"),
    settings=lambda s: (s.dedup.score or "", s.dedup.near.signing),
    files=_scores,
    columns=fingerprints_of.schema(Settings().dedup.near),
    meaning=fingerprints_of.MEANING,
    version="2",
)
def fingerprints(step: Step) -> Outcome:
    """What de-duplication keeps of every record and of every conversation about a text, per source: hashes of the normalised content, and the
    MinHash signature. A new source is compared by it without reading the old ones again.

    Grain: one record or conversation. Key: row_id, source, file, position.
    """
    return Outcome(_fingerprinted(step))


def _fingerprinted(step: Step) -> pl.LazyFrame:
    """The fingerprints, made as they are written: threads work on some batches at a time."""
    rule, columns = step.settings.dedup.near, [*fingerprints_of.PLACE, "row_id", "messages"]
    rows = pl.concat([step.read(asset).select(columns) for asset in ("raw_pool", "synthesized_from_text")])
    if step.settings.dedup.score:
        rows = rows.join(_scored(step), on=["row_id", *fingerprints_of.PLACE], how="left", maintain_order="left")
    total = rows.select(pl.len()).collect().item()

    def signed() -> Iterator[pl.DataFrame]:
        batches, done = rows.collect_batches(chunk_size=_BATCH, maintain_order=True, engine="streaming"), 0
        for prints in in_order(
            lambda batch: fingerprints_of.fingerprint(batch, rule), batches, step.settings.ingest.workers
        ):
            done += prints.height
            step.advance(done, total)
            yield prints

    return lazily(signed(), fingerprints_of.schema(rule))


def _scored(step: Step) -> pl.LazyFrame:
    """The number that an annotation gives a row; of several, the highest."""
    notes = step.lake.book("annotations", "raw_pool", step.partition).filter(
        pl.col("name") == step.settings.dedup.score
    )
    number = pl.col("value").str.strip_chars('"').cast(pl.Float64, strict=False)
    return notes.group_by("row_id", *fingerprints_of.PLACE).agg(
        pl.when(number.is_finite()).then(number).max().alias("score")
    )
