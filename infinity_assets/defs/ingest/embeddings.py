"""Vectors of what the sources say.

| asset | grain | key |
|---|---|---|
| embeddings | distinct content of a source | content_hash |

It stands with the sources, not behind the pool: a run holds one partitions definition, and a new source alone is to be embedded.
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
"""Contents embedded between two writes: what a killed run loses. Half a minute of MiniLM on two cores."""


def journal(lake: Lake) -> Path:
    """Where finished batches wait until their source is complete: with the lake they would be there twice, so they go after it is committed."""
    return lake.data / ".embedding"


def what_decides(settings: Settings) -> tuple[bool | str | float, ...]:
    """What of the settings the vectors depend on."""
    rule = settings.dedup.semantic
    return (rule.enabled, settings.semantic_embedder.identity, rule.max_unknown) if rule.enabled else (False,)


@dataset(
    group="ingest",
    partitions="source",
    reads=("raw_pool", "synthesized_from_text", "fingerprints"),
    settings=what_decides,
    columns=semantic.embeddings(1),
    meaning={
        "content_hash": "128-bit hash of the normalised conversation",
        "prompt": "vector of its user turns, of unit length; null where the embedder knows too few of the words",
        "answer": "vector of its assistant turns (of the prompt, if there is none); null if the content is not judged",
        "facts": "numbers, negations, system prompt and short answer; null if the content is not judged",
        "cut": "the prompt is longer than the embedder reads",
        "unknown": "share of the prompt's tokens that the embedder does not know",
    },
    kinds=("polars", "parquet", "sentencetransformers"),
)
def embeddings(step: Step) -> Outcome:
    """Vectors of the prompt and the answer of every distinct content of a source, for `neighbours` and `paraphrases`.

    Grain: one distinct content. Key: content_hash. Empty unless `dedup.semantic.enabled`. Contents whose prompt the embedder cannot read
    whole, or of whose words it knows too few, are not judged: they have no vector of an answer and are nobody's duplicate.
    """
    contents = step.read("fingerprints").select(pl.col("content_hash").n_unique()).collect().item()
    if not step.settings.dedup.semantic.enabled:
        return Outcome(
            pl.DataFrame(schema=semantic.embeddings(1)), measures={"contents that would be embedded": contents}
        )
    batches = list(_embedded(step, contents))
    rows = pl.scan_parquet(batches, glob=False)
    judged = rows.select(
        pl.len(), judged=pl.col("answer").count(), cut=pl.col("cut").sum(), read=pl.col("prompt").count()
    ).collect()
    return Outcome(
        rows,
        measures={
            "embedder": step.settings.semantic_embedder.identity,
            "contents judged": judged["judged"].item(),
            "prompts longer than the embedder reads": judged["cut"].item(),
            "prompts of unknown words": judged["len"].item() - judged["read"].item(),
        },
    )


def _embedded(step: Step, contents: int) -> Iterator[Path]:
    """The files of the batches, made unless a killed run left them. There is one at the least, for the columns."""
    assert step.key
    # The name holds everything that the vectors depend on, so that what lies there is what would be made.
    folder = journal(step.lake) / f"{step.partition}-{digest(step.key.model_dump_json())}"
    for left in journal(step.lake).glob("*"):
        if left != folder:
            shutil.rmtree(left)
    # Sources are pulled in pieces: the texts of one are never in memory as a whole.
    rows = pl.concat([step.read(asset).select("row_id", "messages") for asset in ("raw_pool", "synthesized_from_text")])
    file = step.scratch / "texts.parquet"
    semantic.texts(rows, step.read("fingerprints")).sink_parquet(file, row_group_size=_BATCH)
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
