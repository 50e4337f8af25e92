"""`fingerprints`: hashes and MinHash signatures for de-duplication. Grain: a record or a conversation about a text."""

from functools import partial

import polars as pl

from infinity_assets.catalog.lake import Outcome, file_hash
from infinity_assets.dedup import fingerprints as fingerprints_of
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.parallel import lazy_frame, map_in_order
from infinity_assets.settings import Settings

_BATCH = 10_000
"""Rows per batch of signatures."""

_KEY = ["row_id", *fingerprints_of.PLACE]


def _scores(step: Step) -> dict[str, str]:
    """Return the hash of the annotations with the scores, because they can change while the rows stay the same."""
    file = step.lake.ledger_file("annotations", "raw_pool", step.partition)
    return {"annotations": file_hash(file)} if step.settings.dedup.score and file.exists() else {}


@dataset(
    group="ingest",
    partitions="source",
    reads=("raw_pool", "synthesized_from_text"),
    settings=lambda s: (s.dedup.score or "", s.dedup.near.signing),
    files=_scores,
    columns=fingerprints_of.schema(Settings().dedup.near),
    version="4",
)
def fingerprints(step: Step) -> Outcome:
    """Content hashes and MinHash signatures of all records and of the conversations synthesized from texts.

    Grain: one record or conversation. Key: row_id, source, file, position. With these values, a new source is compared
    with the others without reading their texts again.
    """
    rule = step.settings.dedup.near
    rows = pl.concat([step.read(asset).select(*_KEY, "messages") for asset in ("raw_pool", "synthesized_from_text")])
    if step.settings.dedup.score:
        rows = rows.join(_scores_of_rows(step), on=_KEY, how="left", maintain_order="left")
    sign = partial(fingerprints_of.fingerprint, rule=rule)
    signed = map_in_order(sign, step.batches(rows, _BATCH), step.settings.ingest.workers)
    # Lazy: threads compute a few batches at a time while the rows are written.
    return Outcome(lazy_frame(signed, fingerprints_of.schema(rule)))


def _scores_of_rows(step: Step) -> pl.LazyFrame:
    """Return the score of each row, from the annotations named by `dedup.score`: the highest if there are several."""
    notes = step.lake.ledger_table("annotations", "raw_pool", step.partition).filter(name=step.settings.dedup.score)
    number = pl.col("value").str.strip_chars('"').cast(pl.Float64, strict=False)
    return notes.group_by(_KEY).agg(pl.when(number.is_finite()).then(number).max().alias("score"))
