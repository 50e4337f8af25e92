"""Possible paraphrases of benchmark items: the rows whose prompts are nearest to each item.

Vectors cannot distinguish a paraphrase from another question on the same topic (Tulu 3, arXiv 2411.15124), so this is a
list for review.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup import close_pairs

PARAPHRASES = pl.Schema({"row_id": pl.String, "benchmark": pl.String, "item_id": pl.String, "similarity": pl.Float32})
"""A row and an item with close prompts. Sorted by benchmark, item, similarity (best first) and row."""


def find_paraphrases(
    items: pl.DataFrame,
    item_vectors: npt.NDArray[np.floating],
    prompts: pl.DataFrame,
    rows: pl.DataFrame,
    floor: float,
    most: int,
    every_from: float | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Return the rows nearest to every item, by the cosine of their prompts, as `PARAPHRASES`.

    Args:
        items, item_vectors: Columns item_id, benchmark; their vectors, shape (items, width).
        prompts: Distinct prompts: prompt_hash, vector (array).
        rows: The prompt of each row: row_id, prompt_hash.
        floor: Least cosine.
        most: Prompts per item; all rows with one of them are listed.
        every_from: Cosine from which all prompts are listed, however many an item has; None for no such cosine.
        advance: Called with the progress.
    """
    if items.is_empty() or prompts.is_empty():
        return pl.DataFrame(schema=PARAPHRASES)
    ordered = prompts.sort("prompt_hash")
    vectors = ordered["vector"].to_numpy()
    pairs = close_pairs.find_nearest(item_vectors, vectors, floor, most, advance=advance)
    if every_from is not None:
        every = close_pairs.find_nearest(item_vectors, vectors, every_from, len(vectors), advance=advance)
        pairs = pl.concat([pairs, every])
    hashes, near = ordered["prompt_hash"].gather(pairs["row"]), items.select("benchmark", "item_id")[pairs["query"]]
    listed = near.with_columns(prompt_hash=hashes, similarity=pairs["similarity"])
    lines = listed.join(rows.select("row_id", "prompt_hash").unique(), on="prompt_hash").select(list(PARAPHRASES))
    return lines.unique().sort("benchmark", "item_id", pl.col("similarity") * -1, "row_id")
