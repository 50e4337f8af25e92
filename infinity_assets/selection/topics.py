"""The topics of the evaluation sets, and the rows of the pool nearest to them.

BAAI's README of 2024 labels the evaluation sets with topics and retrieves a part of the pool that follows their
distribution. Here a topic is a cluster of benchmark items of one domain, by their vectors. A row belongs to the topic
of the item of its domain that is nearest to its prompt.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.rows.ids import draw
from infinity_assets.rows.text import tokens
from infinity_assets.selection.vectors import Matrix, to_matrix, to_unit

PROXIMITY = pl.Schema({"row_id": pl.String, "item_id": pl.String, "topic": pl.String, "proximity": pl.Float32})
"""Grain: a row of the pool. All but the id are null if its prompt has no vector or its domain no benchmark."""

_ROUNDS = 30
"""Maximum iterations of k-means, which usually converges earlier."""
_ROWS = 1024
"""Rows that are compared with all items in one batch."""
_LINKS = 16
_EFFORT = 200
_SEED = 100
_WORDS = 4
"""Words in a topic's name."""


def cluster_items(item_ids: pl.Series, vectors: Matrix, count: int) -> npt.NDArray[np.int64]:
    """Cluster items by k-means with cosine similarity. The first centres are items drawn by their ids.

    Args:
        item_ids: Ids of the items, sorted, so that the clusters do not depend on the input order.
        vectors: Shape (items, width), of any nonzero norm.
        count: Maximum number of clusters; empty clusters are dropped.

    Returns:
        The number of each item's cluster, where 0 is the largest cluster.
    """
    unit = to_unit(vectors)
    count = min(count, len(unit))
    if not count:
        return np.zeros(0, np.int64)
    first = np.argsort(draw("topics", item_ids).to_numpy(), kind="stable")[:count]
    centres = unit[np.sort(first)]
    assigned = np.full(len(unit), -1)
    for _ in range(_ROUNDS):
        nearest = (unit @ centres.T).argmax(axis=1)
        if (nearest == assigned).all():
            break
        assigned = nearest
        sums = np.zeros_like(centres)
        np.add.at(sums, assigned, unit)
        centres = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 0, to_unit(sums), centres)
    used, assigned = np.unique(assigned, return_inverse=True)
    sizes = np.bincount(assigned)
    place = np.empty(len(used), np.int64)
    place[np.lexsort((np.arange(len(used)), -sizes))] = np.arange(len(used))
    return place[assigned]


def label_items(items: pl.DataFrame, per_topic: int) -> pl.DataFrame:
    """Add a topic to items with item_id, domain and vector, and sort them by item id.

    A topic, such as `math 007`, is a domain and a number by descending size. It is null for an item without a vector.
    """
    items = items.sort("item_id")
    parts = [items.clear().with_columns(topic=pl.lit(None, pl.String))]
    for (domain,), rows in items.group_by("domain", maintain_order=True):
        known = rows.drop_nulls("vector")
        numbers = cluster_items(known["item_id"], to_matrix(known["vector"]), -(-known.height // per_topic))
        topics = pl.Series("topic", [f"{domain} {number:03}" for number in numbers], dtype=pl.String)
        parts += [
            known.with_columns(topics),
            rows.filter(pl.col("vector").is_null()).with_columns(topic=pl.lit(None, pl.String)),
        ]
    return pl.concat(parts).sort("item_id")


def nearest_items(
    rows: pl.DataFrame,
    items: pl.DataFrame,
    exact_up_to: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Find the item nearest to the prompt of each row, within the row's domain; the first item wins ties.

    Args:
        rows: Columns row_id, domain and vector (may be null).
        items: The result of `label_items`: item_id, domain, topic, vector.
        exact_up_to: Maximum number of items of a domain for an exact search. Above it, hnswlib searches approximately.
        advance: Called with the number of finished rows and the number of all rows with a vector.

    Returns:
        Schema `PROXIMITY`, in the order of `rows`.
    """
    known = items.drop_nulls("vector").with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64))
    item = np.full(rows.height, -1)
    cosine = np.full(rows.height, np.nan, np.float32)
    with_vector = rows.with_row_index("at").filter(pl.col("vector").is_not_null()).select("at", "domain")
    done = 0
    for (domain,), members in with_vector.group_by("domain", maintain_order=True):
        own = known.filter(domain=domain)
        at = members["at"].to_numpy()
        places = own["place"].to_numpy()
        if own.height:
            targets = to_unit(to_matrix(own["vector"]))
            index = _index(targets) if own.height > exact_up_to else None
            for start in range(0, len(at), _ROWS):
                batch = at[start : start + _ROWS]
                best, cosine[batch] = _best(to_unit(to_matrix(rows["vector"].gather(batch))), targets, index)
                item[batch] = places[best]
                advance(done + start + len(batch), with_vector.height)
        done += len(at)
    table = rows.select("row_id", pl.Series("place", item), pl.Series("proximity", cosine, nan_to_null=True))
    found = table.join(known.select("place", "item_id", "topic"), on="place", how="left", maintain_order="left")
    return found.select(list(PROXIMITY))


def _best(vectors: Matrix, targets: Matrix, index: Any) -> tuple[npt.NDArray[np.int64], Matrix]:
    """Return, for each vector, the index of the nearest target and the cosine to it."""
    if index is None:
        block = vectors @ targets.T
        at = block.argmax(axis=1)
        return at, block[np.arange(len(vectors)), at]
    nearest, distance = index.knn_query(vectors, k=1)
    return nearest[:, 0].astype(np.int64), 1 - distance[:, 0]


def _index(targets: Matrix) -> Any:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=targets.shape[1])
    index.init_index(max_elements=len(targets), ef_construction=_EFFORT, M=_LINKS, random_seed=_SEED)
    index.add_items(targets, np.arange(len(targets)), num_threads=1)
    index.set_ef(_EFFORT)
    return index


def describe(items: pl.DataFrame, proximity: pl.DataFrame) -> pl.DataFrame:
    """Describe the topics.

    Args:
        items: item_id, benchmark, domain, prompt, topic.
        proximity: topic, rows (of the pool whose nearest item has the topic), near (those with at least the proximity
            `retrieval_floor`).

    Returns:
        One line per topic, sorted: topic, words (the most characteristic ones of its items), domain, items, share (of
        all items with a topic), benchmarks (List of struct benchmark, items), rows, near.
    """
    placed = items.filter(pl.col("topic").is_not_null())
    counted = placed.group_by("topic", "benchmark").agg(items=pl.len().cast(pl.Int64))
    counted = counted.sort("topic", pl.col("items") * -1, "benchmark").group_by("topic", maintain_order=True)
    benchmarks = counted.agg(benchmarks=pl.struct("benchmark", "items"))
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
    """Return the words of each topic that many of its items and few other items of the domain contain."""
    words = items.select("topic", "domain", word=tokens(pl.col("prompt")).list.unique()).explode("word")
    words = words.filter(pl.col("word").str.len_chars() > 2)
    sizes = items.group_by("topic").len("size")
    within = words.group_by("topic", "domain", "word").len("here").join(sizes, on="topic")
    within = within.with_columns(pl.col("here").sum().over("domain", "word").alias("all"))
    lift = (pl.col("here") / pl.col("size")) * (pl.col("here") / pl.col("all"))
    ranked = within.sort("topic", lift * -1, "word").group_by("topic", maintain_order=True)
    return ranked.agg(words=pl.col("word").head(_WORDS).str.join(" "))
