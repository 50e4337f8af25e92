"""`neighbours`: pairs of row contents with similar embeddings. Grain: a pair. Key: a, b (content hashes)."""

import shutil

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.dedup import semantic
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.ingest.embeddings import journal, vectors_key
from infinity_assets.defs.step import Step
from infinity_assets.report import charts
from infinity_assets.rows import conversation

THRESHOLDS = (0.8, 0.85, 0.9, 0.95, 0.98)

_RULE = ("floor", "neighbours", "exact_up_to", "facts")
"""Settings of `dedup.semantic` that decide the pairs."""

_SHOWN = 4
"""Pairs shown per band of similarity."""


@dataset(
    group="curate",
    reads=("embeddings",),
    settings=lambda s: (*vectors_key(s), *(getattr(s.dedup.semantic, name) for name in _RULE)),
    columns=semantic.PAIRS,
    kinds=("polars", "parquet", "hnswlib"),
)
def neighbours(step: Step) -> Outcome:
    """Pairs of row contents with nearly the same meaning: their similarity is at least `dedup.semantic.floor`.

    Grain: one pair. Key: a, b (content hashes). To help you choose a threshold, this page shows pairs of every band of
    similarity, and the number of contents that each threshold would drop. A new source is compared with all others;
    pairs among the others are taken from the last materialization.
    """
    shutil.rmtree(journal(step.lake), ignore_errors=True)  # the vectors of all sources have been committed
    rule = step.settings.dedup.semantic
    if not rule.enabled:
        return Outcome(pl.DataFrame(schema=semantic.PAIRS))
    contents, source = _judged_contents(step.lake)
    before, added = step.before()
    pairs = semantic.find_neighbours(
        contents,
        rule.floor,
        rule.neighbours,
        facts=rule.facts,
        exact_up_to=rule.exact_up_to,
        known=before.collect() if before is not None else None,
        fresh=source.is_in(added),
        advance=lambda done, total: step.advance(done, total, "contents"),
    )
    by_threshold = pl.DataFrame(
        [(t, (pairs["similarity"] >= t).sum(), semantic.count_losers(pairs, t)) for t in THRESHOLDS if t >= rule.floor],
        schema={"threshold": pl.Float64, "pairs": pl.Int64, "contents dropped": pl.Int64},
        orient="row",
    )
    crowd = pl.concat([pairs["a"], pairs["b"]]).value_counts()["count"] >= rule.neighbours
    return Outcome(
        pairs,
        measures={
            "contents judged": contents.height,
            "contents with the maximum number of neighbours": int(crowd.sum()),
            "compared": "all pairs" if contents.height <= rule.exact_up_to else "pairs that hnswlib proposed",
        },
        charts={
            "dropped by threshold": charts.table(by_threshold),
            "similarity": charts.histogram(
                pairs["similarity"], "pairs by similarity", bins=20, low=rule.floor, high=1.0
            ),
            "pairs by band": charts.table(_sample_pairs(step.lake, pairs), rows=_SHOWN * len(THRESHOLDS)),
        },
    )


def _judged_contents(lake: Lake) -> tuple[pl.DataFrame, pl.Series]:
    """Return the contents of all sources that have an answer vector, sorted by content hash, and the source of each.

    A content that occurs in several sources is taken from the first.
    """
    parts = []
    known = pl.DataFrame(schema={"content_hash": pl.String})
    for source in lake.partitions("embeddings"):
        part = lake.scan("embeddings", source).select("content_hash", "prompt", "answer", "facts").drop_nulls("answer")
        new = part.join(known.lazy(), on="content_hash", how="anti").with_columns(source=pl.lit(source)).collect()
        known = pl.concat([known, new.select("content_hash")])
        if new.height or not parts:
            parts.append(new)
    # Concatenate and sort once, because the vectors are large.
    contents = pl.concat(parts).sort("content_hash")
    return contents.drop("source"), contents["source"]


def _sample_pairs(lake: Lake, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return a few pairs of every band of similarity with their texts, the most similar first."""
    band = pl.sum_horizontal(pl.col("similarity") >= t for t in THRESHOLDS)
    bands = pairs.with_columns(band.alias("band"))
    # The first pairs in the order of hashes are a random sample. Each content is shown once.
    first = bands.filter(pl.struct("band", "a").is_first_distinct(), pl.struct("band", "b").is_first_distinct())
    shown = first.filter(pl.int_range(pl.len()).over("band") < _SHOWN).sort("similarity", "a", "b", descending=True)
    texts = _texts(lake, pl.concat([shown["a"], shown["b"]]))
    for end in ("a", "b"):
        named = {"content_hash": end, "prompt": f"prompt {end}", "answer": f"answer {end}"}
        shown = shown.join(texts.rename(named), on=end, how="left")
    return shown.select("similarity", "prompt a", "prompt b", "answer a", "answer b")


def _texts(lake: Lake, hashes: pl.Series) -> pl.DataFrame:
    """Return the texts of contents, given their hashes: content_hash, prompt, answer."""
    wanted = pl.col("content_hash").is_in(hashes.unique().implode())
    ids = lake.scan("fingerprints").filter(wanted).select("row_id", "content_hash").collect()
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
