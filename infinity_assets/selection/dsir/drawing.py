"""From weights to a draw: Gumbel top-k, which merges over shards.

Adding independent Gumbel noise to log weights and taking the k largest draws k rows without replacement, each in proportion to its weight (Kool
et al., arXiv 1903.06059). The noise is seeded per row id, so that a row's key depends on nothing but the row. A weight is a sum over the text and
grows with its length, so rows compete within a stratum of length, and the strata take turns in proportion to their shares.
"""

import numpy as np
import polars as pl

from infinity_assets.rows.ids import draw

_CLOSEST = 1e-12


def noisy_keys(frame: pl.DataFrame, stage: str, top_k: bool = False) -> pl.Series:
    """A key per row: the rows with the largest are drawn.

    Args:
        frame: row_id, log_weight (null for a row that cannot be drawn).
        stage: Name of the draw, which seeds the noise with the row id.
        top_k: Whether there is no noise.

    Returns:
        Float64, null where the weight is.
    """
    if top_k:
        return frame["log_weight"].alias("key")
    uniform = np.clip(draw(stage, frame["row_id"]).to_numpy(), _CLOSEST, 1 - _CLOSEST)
    return (frame["log_weight"] - pl.Series(np.log(-np.log(uniform)))).alias("key")


def candidates(frame: pl.DataFrame, k: int) -> pl.DataFrame:
    """The rows of a part that can be among the first k of the whole: of every stratum the k with the largest keys.

    Args:
        frame: row_id, key, stratum, and whatever else.
        k: Rows that are to be drawn of the whole.
    """
    place = pl.struct(-pl.col("key"), "row_id").rank("ordinal").over("stratum")
    return frame.filter(pl.col("key").is_not_null()).filter(place <= k)


def order(frame: pl.DataFrame) -> pl.Series:
    """Numbers whose k lowest are the draw of k rows, for every k: a row's place in its stratum over the stratum's share.

    A stratum that has run out leaves its turns to the others. The first k of the whole are the first k of the `candidates` of its parts.

    Args:
        frame: row_id, key, stratum, share.

    Returns:
        Float64, in the frame's order; null where the key is. Rows of two strata may share a number: the row id decides.
    """
    place = pl.struct(-pl.col("key"), "row_id").rank("ordinal").over("stratum")
    return frame.select(pl.when(pl.col("key").is_not_null()).then(place / pl.col("share"))).to_series().alias("order")


def first(frame: pl.DataFrame, k: int) -> pl.DataFrame:
    """The draw of k rows, or of all that have a key, in the order in which they are drawn.

    Args:
        frame: row_id, key, stratum, share, and whatever else.
        k: Rows to be drawn.
    """
    ordered = frame.with_columns(order(frame)).filter(pl.col("order").is_not_null())
    return ordered.sort("order", "row_id").head(k).drop("order")
