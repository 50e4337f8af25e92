"""Weighted draws by Gumbel top-k.

Adding independent Gumbel noise to log weights and taking the k largest draws k rows without replacement, each in
proportion to its weight (Kool et al., arXiv 1903.06059). The noise is seeded by the row id. A log weight is a sum over
the text and grows with its length, so rows compete within a stratum of length, and the strata take turns in proportion
to their shares.
"""

import numpy as np
import polars as pl

from infinity_assets.rows.ids import draw

_CLOSEST = 1e-12


def noisy_keys(frame: pl.DataFrame, stage: str, top_k: bool = False) -> pl.Series:
    """Return a key per row. A draw takes the rows with the largest keys.

    Args:
        frame: row_id, log_weight (null for a row that cannot be drawn).
        stage: Name of the draw, which seeds the noise together with the row id.
        top_k: Whether to omit the noise.

    Returns:
        Float64, null if the weight is null.
    """
    if top_k:
        return frame["log_weight"].alias("key")
    uniform = np.clip(draw(stage, frame["row_id"]).to_numpy(), _CLOSEST, 1 - _CLOSEST)
    return (frame["log_weight"] - pl.Series(np.log(-np.log(uniform)))).alias("key")


def order(frame: pl.DataFrame) -> pl.Series:
    """Return numbers whose k lowest are the draw of k rows, for every k: rank within the stratum over its share.

    An exhausted stratum leaves its turns to the others.

    Args:
        frame: row_id, key, stratum, share.

    Returns:
        Float64, in the frame's order; null if the key is null. Rows of two strata may have equal numbers; the row id
        breaks the tie.
    """
    place = pl.struct(-pl.col("key"), "row_id").rank("ordinal").over("stratum")
    return frame.select(pl.when(pl.col("key").is_not_null()).then(place / pl.col("share"))).to_series().alias("order")
