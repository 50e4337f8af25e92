"""Actual model calls, tokens and seconds since a plan was made, per asset."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.catalog.views import connect


def actual_usage(data: Path, plan: Mapping[str, Any]) -> pl.DataFrame:
    """Return the actual usage of a plan's assets in the materializations since the plan was made.

    A call counts if a run made it, or if the plan's sample had made it and a run used the stored response. Seconds are
    the duration of the materializations; the time of the sample is not included.

    Args:
        plan: The parsed output of `infinity plan --json`.

    Returns:
        One line per asset of the plan: asset, calls, prompt_tokens, completion_tokens, seconds (null if not made).
    """
    asked = pl.DataFrame(
        {"request_key": [key for asset in plan["assets"] for key in asset["asked"]]}, schema={"request_key": pl.String}
    )
    since = datetime.fromisoformat(plan["made_at"])
    with connect(data, assets=()) as views:
        materializations = views.sql(
            "select asset, seconds from materializations where finished_at > $since", params={"since": since}
        ).pl()
        calls = views.sql(
            "select g.* from generations g join materializations m using (asset, partition, run_id) "
            "where m.finished_at > $since",
            params={"since": since},
        ).pl()
    paid = pl.concat(
        [calls.filter(~pl.col("cached")), calls.filter("cached").join(asked, on="request_key", how="semi")]
    )
    once = paid.sort("cached").unique(["request_key", "attempt"], keep="first", maintain_order=True)
    tokens = once.group_by("asset").agg(pl.len().alias("calls"), pl.col("prompt_tokens", "completion_tokens").sum())
    planned = pl.DataFrame({"asset": [asset["asset"] for asset in plan["assets"]]}, schema={"asset": pl.String})
    seconds = materializations.group_by("asset").agg(pl.col("seconds").sum())
    usage = planned.join(seconds, on="asset", maintain_order="left").join(
        tokens, on="asset", how="left", maintain_order="left"
    )
    counts = ("calls", "prompt_tokens", "completion_tokens")
    return usage.with_columns(pl.col(counts).fill_null(0)).select("asset", *counts, "seconds")
