"""`paraphrases`: the rows whose prompts are closest to a benchmark item. Grain: a row and an item."""

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.decontamination import paraphrases as review
from infinity_assets.defs.curate.neighbours import THRESHOLDS
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.ingest.embeddings import vectors_key
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation


@dataset(
    group="curate",
    reads=("embeddings", "fingerprints", "benchmarks"),
    settings=lambda s: (
        *vectors_key(s),
        s.decontamination.paraphrases,
        s.decontamination.paraphrase_floor,
        s.decontamination.paraphrase_threshold or "",
    ),
    columns=review.PARAPHRASES,
    kinds=("polars", "parquet", "sentencetransformers"),
)
def paraphrases(step: Step) -> Outcome:
    """The rows whose prompts are closest to the prompt of a benchmark item: a list for review.

    Grain: one row and one item. Key: row_id, item_id. Vectors cannot tell a paraphrase from another question on the
    same topic, so review the list before you set `decontamination.paraphrase_threshold`. The table is empty unless
    `dedup.semantic.enabled` is true.
    """
    rule = step.settings.decontamination
    if not step.settings.dedup.semantic.enabled:
        return Outcome(pl.DataFrame(schema=review.PARAPHRASES))
    items = step.read("benchmarks").select("item_id", "benchmark", "prompt").collect()
    spec = step.settings.semantic_embedder
    with step.inference().embedder(spec) as embedder:
        unknown = embedder.read(items["prompt"].to_list()).unknown
        asked = items.filter(pl.Series(unknown <= step.settings.dedup.semantic.max_unknown, dtype=pl.Boolean))
        vectors = np.zeros((0, embedder.width), np.float16)
        if asked.height:
            vectors = embedder.encode(asked["prompt"].to_list()).astype(np.float16)
    rows = step.read("fingerprints").select("row_id", "content_hash", "prompt_hash").unique().collect()
    one = rows.group_by("prompt_hash").agg(pl.col("content_hash").min())
    prompts = [
        step.lake.scan("embeddings", source)
        .drop_nulls("prompt")
        .join(one.lazy(), on="content_hash")
        .select("prompt_hash", vector="prompt")
        .collect()
        for source in step.lake.partitions("embeddings")
    ]
    closest = review.find_paraphrases(
        asked,
        vectors,
        pl.concat(prompts).unique("prompt_hash", keep="first", maintain_order=True),
        rows,
        rule.paraphrase_floor,
        rule.paraphrases,
        rule.paraphrase_threshold,
        advance=lambda done, total: step.advance(done, total, "prompts"),
    )
    at = {str(t): pl.col("item_id").filter(pl.col("similarity") >= t).n_unique() for t in THRESHOLDS}
    counts = closest.group_by("benchmark").agg(**at)
    return Outcome(
        closest,
        measures={"items compared": asked.height, "items with unknown words": items.height - asked.height},
        charts={
            "similarity": charts.histogram(
                closest["similarity"], "pairs by similarity", bins=20, low=rule.paraphrase_floor, high=1.0
            ),
            "items with a row at or above": charts.table_if_any(counts.sort("benchmark")),
            "to be reviewed": charts.table_if_any(_review_table(step.lake, closest, items), rows=30),
        },
    )


def _review_table(lake: Lake, closest: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return the items with the closest rows, and both texts. Equal prompts are left out: `matches` has them."""
    best = closest.filter(pl.col("similarity") < 0.999).sort(pl.col("similarity") * -1, "item_id", "row_id")
    best = best.unique("item_id", keep="first", maintain_order=True).head(30)
    rows = lake.scan("raw_pool").filter(pl.col("row_id").is_in(best["row_id"].implode()))
    texts = rows.select("row_id", "source", conversation.content_of("user").alias("row asks")).collect().sort(pl.all())
    questions = items.select("item_id", pl.col("prompt").alias("item asks"))
    shown = best.join(questions, on="item_id", how="left", maintain_order="left")
    shown = shown.join(texts.unique("row_id", keep="first"), on="row_id", how="left", maintain_order="left")
    return shown.select("similarity", "item_id", "source", "item asks", "row asks")
