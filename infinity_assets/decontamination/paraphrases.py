"""Rows that ask what a benchmark item asks in other words: the prompts nearest to every item's.

Vectors cannot tell a paraphrase from another question on the same topic (Tulu 3, arXiv 2411.15124), so this is a list for review.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup import close_pairs

PARAPHRASES = pl.Schema({"row_id": pl.String, "benchmark": pl.String, "item_id": pl.String, "similarity": pl.Float32})
"""A row and an item whose prompts are close. Sorted by benchmark, item, similarity (best first) and row."""


def nearest(
    items: pl.DataFrame,
    item_vectors: npt.NDArray[np.floating],
    prompts: pl.DataFrame,
    rows: pl.DataFrame,
    floor: float,
    most: int,
    every_from: float | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """The rows nearest to every item, by the cosine of their prompts.

    Args:
        items: Columns item_id, benchmark.
        item_vectors: Their vectors, shape (items, width).
        prompts: Distinct prompts: prompt_hash, vector (array).
        rows: Which rows have which: row_id, prompt_hash.
        floor: Least cosine.
        most: Prompts per item; all rows that have one of them are listed.
        every_from: A cosine from which all prompts are listed, however many an item has; null for none.
        advance: Told how far it is.

    Returns:
        Lines of schema `PARAPHRASES`.
    """
    if items.is_empty() or prompts.is_empty():
        return pl.DataFrame(schema=PARAPHRASES)
    ordered = prompts.sort("prompt_hash")
    vectors = ordered["vector"].to_numpy()
    found = close_pairs.nearest(item_vectors, vectors, floor, most, advance=advance)
    if every_from is not None:
        found = pl.concat(
            [found, close_pairs.nearest(item_vectors, vectors, every_from, len(vectors), advance=advance)]
        )
    listed = pl.DataFrame(
        {
            "prompt_hash": ordered["prompt_hash"].gather(found["row"]),
            "benchmark": items["benchmark"].gather(found["query"]),
            "item_id": items["item_id"].gather(found["query"]),
            "similarity": found["similarity"],
        }
    )
    distinct = rows.select("row_id", "prompt_hash").unique()
    return (
        listed.join(distinct, on="prompt_hash")
        .select(list(PARAPHRASES))
        .unique()
        .sort("benchmark", "item_id", pl.col("similarity") * -1, "row_id")
    )
