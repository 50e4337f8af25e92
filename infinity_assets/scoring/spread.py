"""Labels for rows that no model labelled, by a vote of the nearest labelled rows.

A row gets a label if enough of its neighbours carry it, weighted by their cosines. Coarse abilities have a separate
vote, because neighbours may agree on mathematics and on nothing finer. A coarse ability that follows from a winning
fine label wins, too.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup.close_pairs import EFFORT, find_nearest, open_graph
from infinity_assets.settings.foundation import Labels

BANDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Lower bounds of the similarity bands in which the agreement is reported."""

_CHUNK = 8192

Vectors = npt.NDArray[np.floating]


class Labelled(NamedTuple):
    """Rows that a model labelled, in the order of their ids."""

    vectors: Vectors
    """Shape (rows, width)."""
    keys: npt.NDArray[np.uint64]
    """One number per row that breaks ties and does not depend on the row's position."""
    labels: pl.DataFrame
    """Columns ability and cate_ability: lists, never null."""


def neighbours(queries: Vectors, labelled: Labelled, floor: float, most: int, exact_up_to: int) -> pl.DataFrame:
    """Find the labelled rows nearest to every query.

    Args:
        queries, labelled: Vectors of unlabelled rows, shape (queries, width), and the labelled rows to search.
        floor, most: Minimum cosine, and maximum number of neighbours per query.
        exact_up_to: Maximum number of labelled rows for an exact search. With more, hnswlib may miss some neighbours.

    Returns:
        Columns query, row (indices), similarity; sorted by query, the nearest row first.
    """
    if not len(queries) or not len(labelled.keys):
        return pl.DataFrame(schema={"query": pl.Int64, "row": pl.Int64, "similarity": pl.Float32})
    if len(labelled.keys) <= exact_up_to:
        return find_nearest(queries, labelled.vectors, floor, most, labelled.keys)
    return _propose(queries, labelled, floor, most)


def vote(nearby: pl.DataFrame, lists: pl.Series, share: float, most: int | None = None) -> pl.DataFrame:
    """Let the neighbours vote on labels.

    Args:
        nearby: The result of `neighbours`.
        lists: The labels of every labelled row.
        share: Share of the neighbours' total weight that a label needs to win. A neighbour's weight is its cosine.
        most: Maximum number of labels per query, or `None` for all that win.

    Returns:
        Columns query, labels (list, by descending weight, then name). A query without a winning label has no line.
    """
    weighed = nearby.select("query", "row", weight=pl.col("similarity").cast(pl.Float64).clip(0.0).round(6))
    total = weighed.group_by("query").agg(total=pl.col("weight").sum())
    carried = weighed.with_columns(label=lists.gather(weighed["row"])).explode("label").drop_nulls("label")
    weights = carried.group_by("query", "label").agg(pl.col("weight").sum()).join(total, on="query")
    # 1e-9 is more than the order of summation can change a sum of floats.
    won = weights.filter(pl.col("weight") >= share * pl.col("total") - 1e-9).with_columns(pl.col("weight").round(5))
    ranked = won.sort("query", pl.col("weight") * -1, "label").group_by("query", maintain_order=True)
    return ranked.agg(labels=pl.col("label") if most is None else pl.col("label").head(most))


def agreement(labelled: Labelled, recipe: Labels, most: int) -> pl.DataFrame:
    """Measure how well votes agree with the model's labels. No labelled row takes part in its own vote.

    Args:
        labelled: The labelled rows.
        recipe: Number of neighbours and share to win. Its minimum cosine is not used: this table helps to choose it.
        most: Maximum number of fine labels per row.

    Returns:
        One line per band of the nearest neighbour's cosine (`from` is its lower bound), and one for a baseline that
        gives the most frequent labels to all rows (`from` is `most frequent`). Columns: from, rows, share (of all
        labelled rows), labelled (share of these rows that get a coarse ability), then precision, recall and F1 over
        all pairs of row and label, for coarse abilities and for fine labels; null if there is nothing to count.
    """
    nearby = neighbours(labelled.vectors, labelled, BANDS[0], recipe.neighbours + 1, recipe.exact_up_to)
    others = nearby.filter(pl.col("query") != pl.col("row"))
    others = others.filter(pl.int_range(pl.len()).over("query") < recipe.neighbours)
    best = others.group_by("query").agg(best=pl.col("similarity").max())
    fine, coarse = labelled.labels["ability"], labelled.labels["cate_ability"]
    rows = pl.DataFrame({"query": np.arange(len(labelled.keys)), "fine": fine, "coarse": coarse})
    rows = rows.join(best, on="query", how="left", maintain_order="left")
    lines = []
    for low, high in zip(BANDS, (*BANDS[1:], np.inf), strict=True):
        band = rows.filter((pl.col("best") >= low) & (pl.col("best") < high))
        near = others.filter(pl.col("similarity") >= low).join(band, on="query", how="semi")
        voted = band
        for name, lists, cap in (("fine", fine, most), ("coarse", coarse, None)):
            winners = vote(near, lists, recipe.vote, cap).rename({"labels": f"said_{name}"})
            voted = voted.join(winners, on="query", how="left", maintain_order="left")
        lines.append(_line(f"{low:.1f}", voted, rows.height))
    commonest = rows.with_columns(
        said_fine=pl.lit(_commonest(rows["fine"], most)).first(),
        said_coarse=pl.lit(_commonest(rows["coarse"], 1)).first(),
    )
    lines.append(_line("most frequent", commonest, rows.height))
    return pl.DataFrame(lines)


def _commonest(lists: pl.Series, count: int) -> pl.Series:
    """Return the `count` most frequent labels as one list."""
    counts = lists.explode().drop_nulls().value_counts().sort(pl.col("count").cast(pl.Int64) * -1, lists.name)
    return pl.Series([counts[lists.name].head(count).to_list()], dtype=pl.List(pl.String))


def _line(name: str, voted: pl.DataFrame, total: int) -> dict[str, float | str | None]:
    line: dict[str, float | str | None] = {"from": name, "rows": voted.height, "share": voted.height / max(total, 1)}
    line["labelled"] = int(voted["said_coarse"].count()) / voted.height if voted.height else None
    for part in ("coarse", "fine"):
        predicted, true = (
            voted[column].fill_null(pl.Series([[]], dtype=pl.List(pl.String))) for column in (f"said_{part}", part)
        )
        hits = float(predicted.list.set_intersection(true).list.len().sum())
        precision, recall = (
            hits / size if size else None for size in (float(predicted.list.len().sum()), float(true.list.len().sum()))
        )
        line |= {f"{part} precision": precision, f"{part} recall": recall}
        line[f"{part} F1"] = 2 * precision * recall / (precision + recall) if precision and recall else None
    return line


def _propose(queries: Vectors, labelled: Labelled, floor: float, most: int) -> pl.DataFrame:
    """Find neighbours with hnswlib, and compute their cosines as the exact search does."""
    vectors = np.asarray(labelled.vectors, dtype=np.float32)
    index = open_graph(vectors.shape[1], len(vectors))
    index.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    index.set_ef(max(EFFORT, 2 * most))
    parts = []
    for start in range(0, len(queries), _CHUNK):
        chunk = np.asarray(queries[start : start + _CHUNK], dtype=np.float32)
        rows, _ = index.knn_query(chunk, k=min(most, len(vectors)))
        cosines = np.einsum("ij,ikj->ik", chunk.astype(np.float64), vectors[rows].astype(np.float64))
        query, row = np.repeat(np.arange(start, start + len(chunk)), rows.shape[1]), rows.ravel().astype(np.int64)
        similarity = cosines.ravel().astype(np.float32)
        parts.append(pl.DataFrame({"query": query, "row": row, "similarity": similarity, "key": labelled.keys[row]}))
    near = pl.concat(parts).filter(pl.col("similarity") >= floor)
    return near.sort("query", pl.col("similarity") * -1, "key").drop("key")
