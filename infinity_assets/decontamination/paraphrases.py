"""Possible paraphrases of benchmark items: the rows whose prompts are nearest to each item.

The rows are listed for review, because vectors cannot distinguish a paraphrase from another question on the same topic
(Tulu 3, arXiv 2411.15124).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup import close_pairs

PARAPHRASES = pl.Schema({"row_id": pl.String, "benchmark": pl.String, "item_id": pl.String, "similarity": pl.Float32})
"""Pairs of a row and an item with close prompts, sorted by benchmark, item, descending similarity and row."""


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
        items, item_vectors: Columns item_id, benchmark; the vectors of the items' prompts, shape (items, width).
        prompts: Distinct prompts of rows: prompt_hash, vector (array).
        rows: The prompt of each row: row_id, prompt_hash.
        floor: Minimum cosine.
        most: Maximum number of prompts per item. All rows with one of these prompts are listed.
        every_from: Cosine from which all prompts are listed, even more than `most`; None to apply `most` to all.
        advance: Called with the number of prompts compared and their total.
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
