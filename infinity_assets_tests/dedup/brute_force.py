"""The true Jaccard similarity of all pairs of rows, in plain Python: the yardstick for near-duplicates."""

from collections.abc import Sequence
from itertools import combinations

import polars as pl

from infinity_assets.rows.text import tokens

Shingles = frozenset[tuple[str, ...]]


def shingles(texts: Sequence[str], size: int = 5) -> list[Shingles]:
    """Return the distinct runs of `size` tokens of each text; a text of fewer tokens has none."""
    columns = pl.Series("text", texts, dtype=pl.String).to_frame().select(tokens(pl.col("text")))["text"].to_list()
    return [frozenset(zip(*(words[start:] for start in range(size)), strict=False)) for words in columns]


def jaccard(one: Shingles, other: Shingles) -> float:
    """Return the share of common shingles; 0 if neither set has any."""
    return len(one & other) / max(1, len(one | other))


def similar_pairs(texts: Sequence[str], threshold: float, size: int = 5) -> dict[tuple[int, int], float]:
    """Return all pairs of at least this similarity, by the positions of their texts, the smaller first.

    Args:
        texts: Whole conversations, or one side of them.
        threshold: Above 0.
        size: Tokens in a shingle. A text that is too short for a shingle is in no pair.
    """
    sets = shingles(texts, size)
    similarities = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    return {pair: similarity for pair, similarity in similarities.items() if similarity >= threshold}
