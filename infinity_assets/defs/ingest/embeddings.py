"""`embeddings`: vectors of prompts and answers. Grain: a distinct row content of a source. Key: content_hash.

The asset is partitioned by source and belongs to the ingest job, so that only a new source is embedded.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from infinity_assets.atomic import write_parquet
from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.dedup import semantic
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.rows.ids import digest
from infinity_assets.settings import Settings

_BATCH = 1024
"""Contents per file of vectors. A killed run loses at most one file: half a minute of MiniLM on two cores."""


def journal(lake: Lake) -> Path:
    """Return the folder for the finished batches of a source that is being embedded.

    It is removed after the sources have been committed, because the lake then holds the same vectors.
    """
    return lake.data / ".embedding"


def vectors_key(settings: Settings) -> tuple[bool | str | float, ...]:
    """Return the parts of the settings that the vectors depend on."""
    rule = settings.dedup.semantic
    return (rule.enabled, settings.semantic_embedder.weights_id, rule.max_unknown) if rule.enabled else (False,)


@dataset(
    group="ingest",
    partitions="source",
    reads=("raw_pool", "synthesized_from_text", "fingerprints"),
    settings=vectors_key,
    columns=semantic.embedding_schema(1),
    kinds=("polars", "parquet", "sentencetransformers"),
    version="2",
)
def embeddings(step: Step) -> Outcome:
    """Vectors of the prompt and the answer of every row content of a source, for `neighbours` and `paraphrases`.

    Grain: one distinct content. Key: content_hash. The table is empty unless `dedup.semantic.enabled` is true. If a
    prompt exceeds the embedder's window, or too many words of a content are unknown to the embedder, the content has no
    answer vector and is never a semantic duplicate.
    """
    contents = step.read("fingerprints").select(pl.col("content_hash").n_unique()).collect().item()
    if not step.settings.dedup.semantic.enabled:
        return Outcome(
            pl.DataFrame(schema=semantic.embedding_schema(1)), measures={"contents that would be embedded": contents}
        )
    batches = list(_embed_batches(step, contents))
    rows = pl.scan_parquet(batches, glob=False)
    counts = {
        "contents judged": pl.col("answer").count(),
        "prompts longer than the embedder's window": pl.col("cut").sum(),
        "prompts with unknown words": pl.col("prompt").null_count(),
    }
    embedder = step.settings.semantic_embedder.weights_id
    return Outcome(rows, measures={"embedder": embedder, **rows.select(**counts).collect().row(0, named=True)})


def _embed_batches(step: Step, contents: int) -> Iterator[Path]:
    """Yield the file of each batch. The batches of a killed run are reused. An empty source has one empty batch."""
    assert step.key
    # The folder's name contains a hash of everything that the vectors depend on, so its files can be reused.
    folder = journal(step.lake) / f"{step.partition}-{digest(step.key.model_dump_json())}"
    for left in journal(step.lake).glob("*"):
        if left != folder:
            shutil.rmtree(left)
    # Texts are read in pieces, because a source need not fit into memory.
    rows = pl.concat([step.read(asset).select("row_id", "messages") for asset in ("raw_pool", "synthesized_from_text")])
    file = step.scratch / "texts.parquet"
    semantic.extract_texts(rows, step.read("fingerprints")).sink_parquet(file, row_group_size=_BATCH)
    spec = step.settings.semantic_embedder
    fresh = 0
    for start in range(0, max(contents, 1), _BATCH):
        batch = folder / f"{start:012d}.parquet"
        if not batch.exists():
            texts = pl.scan_parquet(file, glob=False).slice(start, _BATCH).collect()
            with step.inference().embedder(spec) as embedder:
                write_parquet(semantic.embed(texts, embedder, step.settings.dedup.semantic.max_unknown), batch)
            fresh += texts.height
            step.advance(fresh, contents - start - texts.height + fresh, "contents")
        yield batch
