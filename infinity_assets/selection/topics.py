"""The topics of the evaluation sets, and the rows of the pool that are nearest to them.

BAAI's README of 2024 tags the evaluation sets with topics and retrieves a part of the pool that follows their distribution. Here a topic is a
cluster of items by their vectors, within a domain; a row belongs to the topic of the item of its own
domain that its prompt is nearest to.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.rows.text import tokens

PROXIMITY = pl.Schema({"row_id": pl.String, "item_id": pl.String, "topic": pl.String, "proximity": pl.Float32})
"""Grain: a row of the pool. Null where its prompt has no vector, or its domain no benchmark."""

_ROUNDS = 30
"""Rounds of k-means; it has mostly settled before."""
_ROWS = 1024
"""Rows compared with all items at a time."""
_LINKS, _EFFORT, _SEED = 16, 200, 100
_WORDS = 4
"""Words in a topic's name."""

Matrix = npt.NDArray[np.floating]


def clusters(item_ids: pl.Series, vectors: Matrix, count: int) -> npt.NDArray[np.int64]:
    """A cluster per item: k-means by cosine, begun at items drawn by their ids.

    Args:
        item_ids: One per item, sorted: the clusters do not depend on the order in which items came.
        vectors: Shape (items, width), of any length but zero.
        count: Clusters at most; one that loses all its items is gone.

    Returns:
        Numbers from 0, in the order of the clusters' size, largest first.
    """
    unit = _unit(vectors)
    count = min(count, len(unit))
    if not count:
        return np.zeros(0, np.int64)
    first = np.argsort(draw("topics", item_ids).to_numpy(), kind="stable")[:count]
    centres, of = unit[np.sort(first)], np.full(len(unit), -1)
    for _ in range(_ROUNDS):
        nearest = (unit @ centres.T).argmax(axis=1)
        if (nearest == of).all():
            break
        of = nearest
        sums = np.zeros_like(centres)
        np.add.at(sums, of, unit)
        centres = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 0, _unit(sums), centres)
    used, of = np.unique(of, return_inverse=True)
    sizes = np.bincount(of)
    place = np.empty(len(used), np.int64)
    place[np.lexsort((np.arange(len(used)), -sizes))] = np.arange(len(used))
    return place[of]


def label_items(items: pl.DataFrame, per_topic: int) -> pl.DataFrame:
    """The items with their topics, such as `math 007`: a domain, and a number by size.

    Args:
        items: item_id, domain, vector (null where it is not known).
        per_topic: Items per topic, on average.

    Returns:
        The items, sorted by item id, with `topic`; null where there is no vector.
    """
    parts = []
    for (domain,), rows in items.sort("item_id").group_by("domain", maintain_order=True):
        known = rows.filter(pl.col("vector").is_not_null())
        of = clusters(known["item_id"], _matrix(known["vector"]), -(-known.height // per_topic))
        parts += [
            known.with_columns(
                pl.format("{} {}", pl.lit(domain), pl.Series(of, dtype=pl.Int64).cast(pl.String).str.zfill(3)).alias(
                    "topic"
                )
            ),
            rows.filter(pl.col("vector").is_null()).with_columns(pl.lit(None, pl.String).alias("topic")),
        ]
    return pl.concat(parts).sort("item_id") if parts else items.with_columns(pl.lit(None, pl.String).alias("topic"))


def nearest_items(
    rows: pl.DataFrame,
    items: pl.DataFrame,
    exact_up_to: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """For every row the item of its domain that its prompt is nearest to; of equally near ones the first.

    Args:
        rows: row_id, domain, vector (null where it is not known).
        items: item_id, domain, topic, vector, as `label_items` gives them.
        exact_up_to: With more items in a domain than this hnswlib proposes.
        advance: Told how many of how many rows are done.

    Returns:
        Of schema `PROXIMITY`, in the order of the rows.
    """
    known = items.drop_nulls("vector").with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    item, cosine = np.full(rows.height, -1), np.full(rows.height, np.nan, np.float32)
    with_vector = rows.select(
        pl.int_range(pl.len()).alias("at"), "domain", pl.col("vector").is_not_null().alias("known")
    ).filter("known")
    done = 0
    for (domain,), of in with_vector.group_by("domain", maintain_order=True):
        own = known.filter(domain=domain)
        at, places = of["at"].to_numpy(), own["place"].to_numpy()
        if own.height:
            targets = _unit(_matrix(own["vector"]))
            index = _index(targets) if own.height > exact_up_to else None
            for start in range(0, len(at), _ROWS):
                some = at[start : start + _ROWS]
                best, cosine[some] = _best(_unit(_matrix(rows["vector"].gather(some))), targets, index)
                item[some] = places[best]
                advance(done + start + len(some), with_vector.height)
        done += len(at)
    table = rows.select("row_id", pl.Series("place", item), pl.Series("proximity", cosine, nan_to_null=True))
    return table.join(known.select("place", "item_id", "topic"), on="place", how="left", maintain_order="left").select(
        list(PROXIMITY)
    )


def _best(asked: Matrix, targets: Matrix, index: Any) -> tuple[npt.NDArray[np.int64], Matrix]:
    """The place of the nearest target of each vector, and their cosine."""
    if index is None:
        block = asked @ targets.T
        at = block.argmax(axis=1)
        return at, block[np.arange(len(asked)), at]
    found, distance = index.knn_query(asked, k=1)
    return found[:, 0].astype(np.int64), 1 - distance[:, 0]


def _index(targets: Matrix) -> Any:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=targets.shape[1])
    index.init_index(max_elements=len(targets), ef_construction=_EFFORT, M=_LINKS, random_seed=_SEED)
    index.add_items(targets, np.arange(len(targets)), num_threads=1)
    index.set_ef(_EFFORT)
    return index


def describe(items: pl.DataFrame, proximity: pl.DataFrame) -> pl.DataFrame:
    """The topics.

    Args:
        items: item_id, benchmark, domain, prompt, topic.
        proximity: topic, rows, near: rows of the pool by the topic of their nearest item, and how many of them lie above the retrieval's floor.

    Returns:
        One line per topic, sorted: topic, words (what its items say more often than others), domain, items, share (of all items with a topic),
        benchmarks (List of struct benchmark, items), rows, near.
    """
    placed = items.filter(pl.col("topic").is_not_null())
    benchmarks = (
        placed.group_by("topic", "benchmark")
        .len("items")
        .sort("topic", pl.col("items") * -1, "benchmark")
        .group_by("topic", maintain_order=True)
        .agg(pl.struct("benchmark", pl.col("items").cast(pl.Int64)).alias("benchmarks"))
    )
    return (
        placed.group_by("topic")
        .agg(pl.col("domain").first(), pl.len().cast(pl.Int64).alias("items"))
        .with_columns((pl.col("items") / pl.col("items").sum()).alias("share"))
        .join(_words(placed), on="topic", how="left")
        .join(benchmarks, on="topic", how="left")
        .join(proximity, on="topic", how="left")
        .with_columns(pl.col("rows", "near").fill_null(0).cast(pl.Int64))
        .select("topic", "words", "domain", "items", "share", "benchmarks", "rows", "near")
        .sort("topic")
    )


def _words(items: pl.DataFrame) -> pl.DataFrame:
    """Of every topic the words whose share among its items is furthest above that among all of the domain's."""
    said = items.select("topic", "domain", "item_id", tokens(pl.col("prompt")).list.unique().alias("word")).explode(
        "word"
    )
    said = said.filter(pl.col("word").str.len_chars() > 2)
    sizes = items.group_by("topic").len("size")
    within = said.group_by("topic", "domain", "word").len("here").join(sizes, on="topic")
    within = within.with_columns(pl.col("here").sum().over("domain", "word").alias("all"))
    lift = (pl.col("here") / pl.col("size")) * (pl.col("here") / pl.col("all"))
    return (
        within.sort("topic", lift * -1, "word")
        .group_by("topic", maintain_order=True)
        .agg(pl.col("word").head(_WORDS).str.join(" ").alias("words"))
    )


def _matrix(vectors: pl.Series) -> Matrix:
    return vectors.to_numpy().reshape(len(vectors), -1) if len(vectors) else np.zeros((0, 1), np.float16)


def _unit(vectors: Matrix) -> Matrix:
    wide = vectors.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1)
