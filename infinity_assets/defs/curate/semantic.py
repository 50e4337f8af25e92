"""What the embeddings say: which contents are close to one another, and which come close to a benchmark item.

| asset | grain | key |
|---|---|---|
| neighbours | pair of distinct contents | a, b |
| paraphrases | row and benchmark item | row_id, item_id |
"""

import shutil

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.decontamination import paraphrases as review
from infinity_assets.dedup import semantic
from infinity_assets.defs.ingest.embeddings import journal, what_decides
from infinity_assets.defs.step import Step, dataset
from infinity_assets.report import charts
from infinity_assets.rows import conversation

_THRESHOLDS = (0.8, 0.85, 0.9, 0.95, 0.98)
_SHOWN = 4
"""Pairs shown per band."""


@dataset(
    group="curate",
    reads=("embeddings",),
    settings=lambda s: (
        *what_decides(s),
        s.dedup.semantic.floor,
        s.dedup.semantic.neighbours,
        s.dedup.semantic.exact_up_to,
        s.dedup.semantic.facts,
    ),
    columns=semantic.PAIRS,
    meaning={
        "a": "content hash",
        "b": "content hash, above a",
        "similarity": "the smaller cosine of their prompts and their answers",
    },
    kinds=("polars", "parquet", "hnswlib"),
)
def neighbours(step: Step) -> Outcome:
    """Pairs of contents that say nearly the same, from the floor of the settings up, whatever the threshold.

    Grain: one pair. Key: a, b. The page shows pairs of every band of similarity, so that the threshold can be chosen by eye, and what would
    go at which. A new source is compared with what is there; pairs among the others are taken from the last materialisation.
    """
    shutil.rmtree(journal(step.lake), ignore_errors=True)  # every source is committed by now
    rule = step.settings.dedup.semantic
    if not rule.enabled:
        return Outcome(pl.DataFrame(schema=semantic.PAIRS))
    contents, source = _judged(step.lake)
    before, added = step.before()
    pairs = semantic.neighbours(
        contents,
        rule.floor,
        rule.neighbours,
        facts=rule.facts,
        exact_up_to=rule.exact_up_to,
        known=before.collect() if before is not None else None,
        fresh=source.is_in(added),
        advance=lambda done, total: step.advance(done, total, "contents"),
    )
    goes = pl.DataFrame(
        [(t, (pairs["similarity"] >= t).sum(), semantic.would_go(pairs, t)) for t in _THRESHOLDS if t >= rule.floor],
        schema={"threshold": pl.Float64, "pairs": pl.Int64, "contents that would go": pl.Int64},
        orient="row",
    )
    crowd = pl.concat([pairs["a"], pairs["b"]]).value_counts()["count"] >= rule.neighbours
    return Outcome(
        pairs,
        measures={
            "contents judged": contents.height,
            "contents with as many neighbours as are kept": int(crowd.sum()),
            "compared": "all pairs" if contents.height <= rule.exact_up_to else "pairs that hnswlib proposed",
        },
        charts={
            "what would go": charts.table(goes),
            "similarity": charts.histogram(pairs["similarity"], "pairs by similarity", bins=20, low=rule.floor, high=1.0),
            "pairs by band": charts.table(_sample(step.lake, pairs), rows=_SHOWN * len(_THRESHOLDS)),
        },
    )


def _judged(lake: Lake) -> tuple[pl.DataFrame, pl.Series]:
    """The judged contents of all sources, each once (the vectors of the source that comes first), by hash, and from which source each is."""
    parts = []
    known = pl.DataFrame(schema={"content_hash": pl.String})
    for source in lake.partitions("embeddings"):
        part = lake.scan("embeddings", source).filter(pl.col("answer").is_not_null()).select("content_hash", "prompt", "answer", "facts")
        new = part.join(known.lazy(), on="content_hash", how="anti").with_columns(source=pl.lit(source)).collect()
        known = pl.concat([known, new.select("content_hash")])
        if new.height or not parts:
            parts.append(new)
    # Joined and ordered in one go: the vectors are the largest thing here.
    contents = pl.concat(parts).sort("content_hash")
    return contents.drop("source"), contents["source"]


def _sample(lake: Lake, pairs: pl.DataFrame) -> pl.DataFrame:
    """Some pairs of every band with their texts, the most similar band first."""
    band = pl.sum_horizontal(pl.col("similarity") >= t for t in _THRESHOLDS)
    bands = pairs.with_columns(band.alias("band"))
    # Hashes are as good as a draw: the first pairs of a band, of contents that are not shown yet.
    first = bands.filter(pl.struct("band", "a").is_first_distinct(), pl.struct("band", "b").is_first_distinct())
    shown = first.filter(pl.int_range(pl.len()).over("band") < _SHOWN).sort("similarity", "a", "b", descending=True)
    texts = _texts(lake, pl.concat([shown["a"], shown["b"]]))
    for end in ("a", "b"):
        shown = shown.join(texts.rename(lambda name, end=end: f"{name} {end}" if name != "content_hash" else end), on=end, how="left")
    return shown.select("similarity", "prompt a", "prompt b", "answer a", "answer b")


def _texts(lake: Lake, hashes: pl.Series) -> pl.DataFrame:
    """Prompt and answer of some contents: content_hash, prompt, answer. A text is found by its hash, so it is the one that was embedded."""
    ids = (
        lake.scan("fingerprints").filter(pl.col("content_hash").is_in(hashes.unique().implode())).select("row_id", "content_hash").collect()
    )
    rows = pl.concat([lake.scan(asset).select("row_id", "messages") for asset in ("raw_pool", "synthesized_from_text")])
    return (
        rows.join(ids.lazy(), on="row_id")
        .select(
            "content_hash",
            conversation.content_of("user").alias("prompt"),
            conversation.content_of("assistant").alias("answer"),
        )
        .collect()
        .sort(pl.all())
        .unique("content_hash", keep="first", maintain_order=True)
    )


@dataset(
    group="curate",
    reads=("embeddings", "fingerprints", "benchmarks"),
    settings=lambda s: (
        *what_decides(s),
        s.decontamination.paraphrases,
        s.decontamination.paraphrase_floor,
        s.decontamination.paraphrase_threshold or "",
    ),
    columns=review.PARAPHRASES,
    meaning={
        "benchmark": "name of the benchmark's folder",
        "item_id": "benchmark, file where there are several, and position",
        "similarity": "cosine of the row's prompt and the item's",
    },
)
def paraphrases(step: Step) -> Outcome:
    """The rows whose prompts come closest to a benchmark item's: a list for review.

    Grain: one row and one item. Key: row_id, item_id. Vectors cannot tell a paraphrase from another question on the same topic: read the list
    before `decontamination.paraphrase_threshold` is set. Empty unless `dedup.semantic.enabled`.
    """
    rule = step.settings.decontamination
    if not step.settings.dedup.semantic.enabled:
        return Outcome(pl.DataFrame(schema=review.PARAPHRASES))
    items = step.read("benchmarks").select("item_id", "benchmark", "prompt").collect()
    spec = step.settings.semantic_embedder
    with step.inference().embedder(spec) as embedder:
        known = pl.Series(embedder.read(items["prompt"].to_list()).unknown <= step.settings.dedup.semantic.max_unknown, dtype=pl.Boolean)
        asked = items.filter(known)
        vectors = (
            embedder.encode(asked["prompt"].to_list()).astype(np.float16) if asked.height else np.zeros((0, embedder.width), np.float16)
        )
    rows = step.read("fingerprints").select("row_id", "content_hash", "prompt_hash").unique().collect()
    one = rows.group_by("prompt_hash").agg(pl.col("content_hash").min())
    prompts = [
        step.lake.scan("embeddings", source)
        .filter(pl.col("prompt").is_not_null())
        .select("content_hash", pl.col("prompt").alias("vector"))
        .join(one.lazy(), on="content_hash")
        .select("prompt_hash", "vector")
        .collect()
        for source in step.lake.partitions("embeddings")
    ]
    found = review.nearest(
        asked,
        vectors,
        pl.concat(prompts).unique("prompt_hash", keep="first", maintain_order=True),
        rows,
        rule.paraphrase_floor,
        rule.paraphrases,
        rule.paraphrase_threshold,
        advance=lambda done, total: step.advance(done, total, "prompts"),
    )
    return Outcome(
        found,
        measures={"items compared": asked.height, "items of unknown words": items.height - asked.height},
        charts={
            "similarity": charts.histogram(found["similarity"], "pairs by similarity", bins=20, low=rule.paraphrase_floor, high=1.0),
            "items with a row at or above": charts.table(_reached(found)) if found.height else "",
            "to be read": charts.table(_review(step.lake, found, items), rows=30) if found.height else "",
        },
    )


def _reached(found: pl.DataFrame) -> pl.DataFrame:
    at = [(pl.col("item_id").filter(pl.col("similarity") >= t).n_unique()).alias(str(t)) for t in _THRESHOLDS]
    return found.group_by("benchmark").agg(at).sort("benchmark")


def _review(lake: Lake, found: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The nearest row of the items that have the nearest, texts side by side. Equal prompts are the other gates' business, and left out."""
    best = found.filter(pl.col("similarity") < 0.999).sort(pl.col("similarity") * -1, "item_id", "row_id")
    best = best.unique("item_id", keep="first", maintain_order=True).head(30)
    rows = lake.scan("raw_pool").filter(pl.col("row_id").is_in(best["row_id"].implode()))
    texts = (
        rows.select("row_id", "source", conversation.content_of("user").alias("row asks"))
        .collect()
        .sort(pl.all())
        .unique("row_id", keep="first")
    )
    return (
        best.join(items.select("item_id", pl.col("prompt").alias("item asks")), on="item_id", how="left", maintain_order="left")
        .join(texts, on="row_id", how="left", maintain_order="left")
        .select("similarity", "item_id", "source", "item asks", "row asks")
    )
