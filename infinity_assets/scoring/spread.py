"""Labels for rows that no model labelled: those on which the nearest labelled rows agree.

Every row takes the labels that at least a share of its neighbours carries, weighted by their cosines. Coarse abilities are voted on apart: neighbours
may agree on mathematics and on nothing finer. Whatever follows from a fine label that won has won as well.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup.close_pairs import nearest
from infinity_assets.settings.foundation import Labels

BANDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Lower ends of the bands of similarity in which the agreement is told."""

_LINKS, _EFFORT, _SEED = 16, 200, 100
_CHUNK = 8192

Vectors = npt.NDArray[np.floating]


class Labelled(NamedTuple):
    """Rows that a model labelled, in the order of their ids."""

    vectors: Vectors
    """Shape (rows, width)."""
    keys: npt.NDArray[np.uint64]
    """A number per row that does not depend on its place, to settle ties by."""
    labels: pl.DataFrame
    """ability and cate_ability: lists, not null."""


def neighbours(queries: Vectors, labelled: Labelled, floor: float, most: int, exact_up_to: int) -> pl.DataFrame:
    """The labelled rows nearest to every query.

    Args:
        queries: Shape (queries, width).
        labelled: Where they are looked for.
        floor: Least cosine.
        most: Neighbours per query.
        exact_up_to: With more labelled rows than this hnswlib looks for them, and may miss some.

    Returns:
        query, row (places), similarity; by query, best first.
    """
    if not len(queries) or not len(labelled.keys):
        return pl.DataFrame(schema={"query": pl.Int64, "row": pl.Int64, "similarity": pl.Float32})
    if len(labelled.keys) <= exact_up_to:
        return nearest(queries, labelled.vectors, floor, most, labelled.keys)
    return _proposed(queries, labelled, floor, most)


def vote(found: pl.DataFrame, lists: pl.Series, share: float, most: int | None = None) -> pl.DataFrame:
    """What the neighbours agree on.

    Args:
        found: As `neighbours` returns them.
        lists: The labels of every labelled row.
        share: A label wins if neighbours with at least this share of all weight carry it. The weight is the cosine.
        most: Labels per query; all that win, if null.

    Returns:
        query, labels (list, those with most weight first, then by the alphabet); queries on which nothing wins are left out.
    """
    weighed = found.select("query", "row", weight=pl.col("similarity").cast(pl.Float64).clip(0.0).round(6))
    total = weighed.group_by("query").agg(total=pl.col("weight").sum())
    carried = weighed.with_columns(label=lists.gather(weighed["row"])).explode("label").drop_nulls("label")
    weights = carried.group_by("query", "label").agg(pl.col("weight").sum()).join(total, on="query")
    # Sums of floats depend on their order by less than this.
    won = weights.filter(pl.col("weight") >= share * pl.col("total") - 1e-9).with_columns(pl.col("weight").round(5))
    ranked = won.sort("query", pl.col("weight") * -1, "label").group_by("query", maintain_order=True)
    return ranked.agg(labels=pl.col("label") if most is None else pl.col("label").head(most))


def agreement(labelled: Labelled, recipe: Labels, most: int) -> pl.DataFrame:
    """How well the labels of neighbours are those that the model gave: every labelled row is asked as if it had none, its own being left out.

    Args:
        labelled: The rows.
        recipe: Neighbours and the share of votes. The least cosine is not used: the table is there to choose it.
        most: Fine labels per row.

    Returns:
        A line per band of the nearest neighbour's cosine, and one of `most frequent` (the labels of most rows, given to all): from, rows, share (of
        all labelled rows), labelled (share of the band that gets a coarse ability), then precision, recall and F1 over all pairs of row and label,
        of coarse abilities and of fine labels. Null where there is nothing to count.
    """
    found = neighbours(labelled.vectors, labelled, BANDS[0], recipe.neighbours + 1, recipe.exact_up_to)
    others = found.filter(pl.col("query") != pl.col("row"))
    others = others.filter(pl.int_range(pl.len()).over("query") < recipe.neighbours)
    best = others.group_by("query").agg(best=pl.col("similarity").max())
    rows = pl.DataFrame(
        {
            "query": np.arange(len(labelled.keys)),
            "fine": labelled.labels["ability"],
            "coarse": labelled.labels["cate_ability"],
        }
    )
    rows = rows.join(best, on="query", how="left", maintain_order="left")
    lines = []
    for low, high in zip(BANDS, (*BANDS[1:], np.inf), strict=True):
        here = rows.filter((pl.col("best") >= low) & (pl.col("best") < high))
        near = others.filter(pl.col("similarity") >= low).join(here, on="query", how="semi")
        said = here
        for name, lists, cap in (
            ("fine", labelled.labels["ability"], most),
            ("coarse", labelled.labels["cate_ability"], None),
        ):
            voted = vote(near, lists, recipe.vote, cap).rename({"labels": f"said_{name}"})
            said = said.join(voted, on="query", how="left", maintain_order="left")
        lines.append(_line(f"{low:.1f}", said, rows.height))
    commonest = rows.with_columns(
        said_fine=pl.lit(_commonest(rows["fine"], most)).first(),
        said_coarse=pl.lit(_commonest(rows["coarse"], 1)).first(),
    )
    lines.append(_line("most frequent", commonest, rows.height))
    return pl.DataFrame(lines)


def _commonest(lists: pl.Series, count: int) -> pl.Series:
    """The labels of most rows, as a list."""
    counts = lists.explode().drop_nulls().value_counts().sort(pl.col("count").cast(pl.Int64) * -1, lists.name)
    return pl.Series([counts[lists.name].head(count).to_list()], dtype=pl.List(pl.String))


def _line(name: str, said: pl.DataFrame, total: int) -> dict[str, float | str | None]:
    line: dict[str, float | str | None] = {"from": name, "rows": said.height, "share": said.height / max(total, 1)}
    line["labelled"] = int(said["said_coarse"].count()) / said.height if said.height else None
    for part in ("coarse", "fine"):
        told, true = (
            said[column].fill_null(pl.Series([[]], dtype=pl.List(pl.String))) for column in (f"said_{part}", part)
        )
        hits = float(told.list.set_intersection(true).list.len().sum())
        precision, recall = (
            hits / size if size else None for size in (float(told.list.len().sum()), float(true.list.len().sum()))
        )
        line |= {f"{part} precision": precision, f"{part} recall": recall}
        line[f"{part} F1"] = 2 * precision * recall / (precision + recall) if precision and recall else None
    return line


def _proposed(queries: Vectors, labelled: Labelled, floor: float, most: int) -> pl.DataFrame:
    """Neighbours by a graph; the cosines are computed anew, so that they are those of the exact search."""
    import hnswlib

    vectors = np.asarray(labelled.vectors, dtype=np.float32)
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=_EFFORT, M=_LINKS, random_seed=_SEED)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    index.set_ef(max(_EFFORT, 2 * most))
    parts = []
    for start in range(0, len(queries), _CHUNK):
        asked = np.asarray(queries[start : start + _CHUNK], dtype=np.float32)
        rows, _ = index.knn_query(asked, k=min(most, len(vectors)))
        cosines = np.einsum("ij,ikj->ik", asked.astype(np.float64), vectors[rows].astype(np.float64))
        query = np.repeat(np.arange(start, start + len(asked)), rows.shape[1])
        flat = rows.ravel().astype(np.int64)
        parts.append(
            pl.DataFrame(
                {
                    "query": query,
                    "row": flat,
                    "similarity": cosines.ravel().astype(np.float32),
                    "key": labelled.keys[flat],
                }
            )
        )
    return (
        pl.concat(parts)
        .filter(pl.col("similarity") >= floor)
        .sort("query", pl.col("similarity") * -1, "key")
        .drop("key")
    )
