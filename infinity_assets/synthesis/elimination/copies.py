"""Near copies among the rewrites of a shard."""

import numpy as np
import polars as pl

from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.dedup.near import Signatures, find_losers
from infinity_assets.rows.ids import add_row_ids
from infinity_assets.settings import Near
from infinity_assets.settings.chat import Elimination


def find_near_copies(made: pl.DataFrame, settings: Elimination) -> pl.DataFrame:
    """Find the rewrites that are near copies of an earlier rewrite, in the order of row ids.

    Shingles have two tokens, because requests are short. MinHash with LSH finds candidate pairs, and their Jaccard
    similarity decides, as in `dedup.near`.

    Args:
        made: row_id and messages of the rewrites that pass all other rules, because a rejected rewrite must not reject
            another one. Rewrites with equal messages are kept or rejected together.
        settings: The threshold `max_copy`.

    Returns:
        One line per near copy: row_id, reason (`near_copy_of_another`), detail (JSON: duplicate_of, which is the row id
        of the kept rewrite, and similarity).
    """
    rule = Near(threshold=settings.max_copy, answers="any", shingle=2, bands=40, rows_per_band=4)
    place = {"source": pl.lit(None, pl.String), "file": pl.lit(None, pl.String), "position": pl.lit(None, pl.Int64)}
    ordered = made.sort("row_id").select("row_id", "messages", **place)
    ordered = ordered.with_columns(add_row_ids(ordered.select("messages"))["row_id"].alias("child"))
    distinct = ordered.unique("child", keep="first", maintain_order=True)
    prints = fingerprint(distinct, rule)
    shingles, sizes = prints["shingles"], prints["size"].to_numpy()

    def shingles_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        taken = np.cumsum(sizes[rows], dtype=np.int64)
        return shingles.gather(rows).explode(empty_as_null=False).to_numpy(), taken - sizes[rows]

    keys, signed, sketches = prints["keys"].to_numpy(), prints["signed"].to_numpy(), prints["sketch"].to_numpy()
    losers = find_losers(Signatures(keys, signed, sketches, sizes, prints["answered"].to_numpy(), shingles_of), rule)
    lost = pl.Series(losers.winner >= 0)
    matches = distinct.select(
        "child",
        duplicate_of=pl.when(lost).then(pl.col("child").gather(pl.Series(losers.winner).clip(0))),
        similarity=pl.Series(losers.similarity.astype(float).round(6)),
    ).filter(lost)
    copies = ordered.join(matches, on="child", maintain_order="left")
    detail = pl.struct("duplicate_of", "similarity").struct.json_encode()
    return copies.select("row_id", reason=pl.lit("near_copy_of_another"), detail=detail)
