"""Weighted draws by Gumbel top-k.

Adding independent Gumbel noise to log weights and taking the k largest sums draws k rows without replacement, each in
proportion to its weight (Kool et al., arXiv 1903.06059). The row id seeds the noise. A log weight is a sum over the
text and grows with its length. Rows therefore compete only within a stratum of length, and a draw alternates between
the strata in proportion to their shares.
"""

import numpy as np
import polars as pl

from infinity_assets.rows.ids import draw

_CLOSEST = 1e-12


def noisy_keys(frame: pl.DataFrame, stage: str, top_k: bool = False) -> pl.Series:
    """Return a key per row: its log weight plus noise. A draw takes the rows with the largest keys.

    Args:
        frame: Columns row_id and log_weight (null for a row that cannot be drawn).
        stage: Name of the draw. Together with the row id it seeds the noise.
        top_k: Omit the noise.

    Returns:
        Float64; null where the weight is null.
    """
    if top_k:
        return frame["log_weight"].alias("key")
    uniform = np.clip(draw(stage, frame["row_id"]).to_numpy(), _CLOSEST, 1 - _CLOSEST)
    return (frame["log_weight"] - pl.Series(np.log(-np.log(uniform)))).alias("key")


def order(frame: pl.DataFrame) -> pl.Series:
    """Number the rows so that, for every k, the k lowest numbers are a draw of k rows.

    A row's number is its rank within its stratum, divided by the share of the stratum.

    Args:
        frame: Columns row_id, key, stratum and share.

    Returns:
        Float64, in the order of the frame; null where the key is null. Where numbers are equal, the lower row id comes
        first.
    """
    place = pl.struct(-pl.col("key"), "row_id").rank("ordinal").over("stratum")
    return frame.select(pl.when(pl.col("key").is_not_null()).then(place / pl.col("share"))).to_series().alias("order")
