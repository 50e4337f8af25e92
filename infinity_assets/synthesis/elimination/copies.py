"""Rewrites that are nearly the same as another one of their shard."""

import numpy as np
import polars as pl

from infinity_assets.dedup.fingerprints import fingerprint
from infinity_assets.dedup.near import Signatures, find_losers
from infinity_assets.rows.ids import with_row_ids
from infinity_assets.settings import Near
from infinity_assets.settings.chat import Elimination


def near_copies(made: pl.DataFrame, settings: Elimination) -> pl.DataFrame:
    """The rewrites whose shingles (runs of two tokens: requests are short) are nearly those of an earlier one, by row id. MinHash with LSH, every
    candidate checked by its Jaccard similarity, as `dedup.near` does it.

    Args:
        made: row_id and messages of the rewrites that no other rule removes: one that is removed must not take another with it. Several may have
            the same messages; they share a fate.
        settings: With `max_copy`.

    Returns:
        row_id, `near_copy_of_another` as reason, detail (JSON: duplicate_of, the id of the rewrite that stays; similarity).
    """
    rule = Near(threshold=settings.max_copy, answers="any", shingle=2, bands=40, rows_per_band=4)
    place = {"source": pl.lit(None, pl.String), "file": pl.lit(None, pl.String), "position": pl.lit(None, pl.Int64)}
    ordered = made.sort("row_id").select("row_id", "messages", **place)
    ordered = ordered.with_columns(with_row_ids(ordered.select("messages"))["row_id"].alias("child"))
    distinct = ordered.unique("child", keep="first", maintain_order=True)
    prints = fingerprint(distinct, rule)
    shingles, sizes = prints["shingles"], prints["size"].to_numpy()

    def of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        taken = np.cumsum(sizes[rows], dtype=np.int64)
        return shingles.gather(rows).explode(empty_as_null=False).to_numpy(), taken - sizes[rows]

    keys, signed, sketches = prints["keys"].to_numpy(), prints["signed"].to_numpy(), prints["sketch"].to_numpy()
    losers = find_losers(Signatures(keys, signed, sketches, sizes, prints["answered"].to_numpy(), of), rule)
    lost = pl.Series(losers.winner >= 0)
    found = distinct.select(
        "child",
        duplicate_of=pl.when(lost).then(pl.col("child").gather(pl.Series(losers.winner).clip(0))),
        similarity=pl.Series(losers.similarity.astype(float).round(6)),
    ).filter(lost)
    told = ordered.join(found, on="child", maintain_order="left")
    detail = pl.struct("duplicate_of", "similarity").struct.json_encode()
    return told.select("row_id", reason=pl.lit("near_copy_of_another"), detail=detail)
