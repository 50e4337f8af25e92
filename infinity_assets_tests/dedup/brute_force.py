"""The true Jaccard similarity of all pairs, by comparing every row with every other in plain Python: what near-duplicates are judged by."""

from collections.abc import Sequence
from itertools import combinations

import polars as pl

from infinity_assets.rows.text import tokens

Shingles = frozenset[tuple[str, ...]]


def shingles(texts: Sequence[str], size: int = 5) -> list[Shingles]:
    """The distinct runs of `size` tokens of each text; none in a text of fewer tokens."""
    columns = pl.Series("text", texts, dtype=pl.String).to_frame().select(tokens(pl.col("text")))["text"].to_list()
    return [frozenset(zip(*(words[start:] for start in range(size)), strict=False)) for words in columns]


def jaccard(one: Shingles, other: Shingles) -> float:
    """Share of common shingles; 0 if neither has any."""
    return len(one & other) / max(1, len(one | other))


def similar_pairs(texts: Sequence[str], threshold: float, size: int = 5) -> dict[tuple[int, int], float]:
    """All pairs of at least this similarity, by the positions of their texts, the smaller first.

    Args:
        texts: Whole conversations, or one side of them.
        threshold: Above 0.
        size: Tokens in a shingle. A text that is too short for one is in no pair.
    """
    sets = shingles(texts, size)
    found = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    return {pair: similarity for pair, similarity in found.items() if similarity >= threshold}
