"""InfInstruct-F: rules, a ranking per domain, diversity, quotas.

rules       rows that no training set should hold (selection/rules/)
ranking     DSIR for the domains that have a target, judge score and IFD for the others; the chat seeds come first (the paper replays them)
diversity   of rows that are too close, the one ranked highest (selection/diversity.py)
quota       a share of each domain, from `domain_budget`
"""

import numpy as np
import polars as pl

from infinity_assets.selection.dsir import drawing
from infinity_assets.settings import Foundation


def rank(frame: pl.DataFrame, settings: Foundation) -> pl.DataFrame:
    """The rows in the order in which their domain takes them.

    Args:
        frame: Candidates: row_id, domain, quality, ifd, is_seed, and of `importance` log_weight, stratum and share.
        settings: The recipe.

    Returns:
        The frame sorted, with `selector` (seed_replay, dsir or quality), `dsir_log_weight` (null outside DSIR's domains) and `place` (from 0
        within the domain). In DSIR's domains a row without a weight comes last.
    """
    frame, parts = frame.with_columns(dsir_log_weight="log_weight"), []
    for (domain,), rows in sorted(frame.group_by("domain"), key=lambda item: str(item[0][0])):
        if rows["log_weight"].count():
            keyed = rows.with_columns(drawing.noisy_keys(rows, f"dsir:{domain}", settings.dsir.top_k))
            rows = rows.with_columns(drawing.order(keyed), pl.lit("dsir").alias("selector"))
        else:
            rows = rows.with_columns(pl.Series("order", _quality_order(rows)), pl.lit("quality").alias("selector"))
        replay = pl.col("is_seed") & (pl.col("domain") == "chat")
        rows = rows.with_columns(pl.when(replay).then(pl.lit("seed_replay")).otherwise("selector").alias("selector"))
        ordered = rows.sort(pl.col("selector") != "seed_replay", "order", "row_id", nulls_last=True).drop("order")
        parts.append(ordered.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("place")))
    if not parts:
        return frame.with_columns(pl.lit("").alias("selector"), pl.lit(0, pl.Int64).alias("place"))
    return pl.concat(parts)


def _quality_order(rows: pl.DataFrame) -> np.ndarray:
    """Place by judge score, then by IFD (harder to follow first); rows without scores come last, in the order of their ids."""
    keyed = rows.with_row_index("at").sort(
        pl.col("quality"), pl.col("ifd"), pl.col("row_id"), descending=[True, True, False], nulls_last=True
    )
    order = np.empty(rows.height)
    order[keyed["at"].to_numpy()] = np.arange(rows.height)
    return order


def budget(available: pl.DataFrame, settings: Foundation) -> pl.DataFrame:
    """How many rows each domain may bring.

    Args:
        available: Columns domain and rows: conversations of the pool after decontamination.
        settings: The recipe.

    Returns:
        One line per domain: domain, available, keep_share, quota, reason.
    """
    share = pl.col("domain").replace_strict(dict(settings.keep_share), default=0.0, return_dtype=pl.Float64)
    wanted = available.with_columns(share.alias("keep_share")).with_columns((pl.col("rows") * share).ceil().cast(pl.Int64).alias("wanted"))
    shrink = min(1.0, settings.max_rows / max(int(wanted["wanted"].sum()), 1))
    quota = (pl.col("wanted") * shrink).floor().cast(pl.Int64)
    reason = (
        pl.lit("share of the domain")
        if shrink == 1.0
        else pl.lit(f"share of the domain, times {shrink:.3f} for at most {settings.max_rows} rows")
    )
    return wanted.select(
        "domain", pl.col("rows").cast(pl.Int64).alias("available"), "keep_share", quota.alias("quota"), reason.alias("reason")
    ).sort("domain")
