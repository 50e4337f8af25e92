"""What the model calls of an asset have really come to since a plan was made."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.catalog.views import connect


def used(data: Path, plan: Mapping[str, Any]) -> pl.DataFrame:
    """One line per asset of the plan that was made since: asset, calls, prompt_tokens, completion_tokens, seconds.

    A call counts if it was made by a run since the plan, or found by it in the store because the plan's sample had made it. Seconds are those of
    the materialisations, and so without the sample's.

    Args:
        data: The data folder.
        plan: What `infinity plan --json` wrote.
    """
    asked = pl.DataFrame(
        {"request_key": [key for asset in plan["assets"] for key in asset["asked"]]}, schema={"request_key": pl.String}
    )
    since = datetime.fromisoformat(plan["made_at"])
    with connect(data, assets=()) as views:
        made = views.sql(
            "select asset, seconds from materializations where finished_at > $since", params={"since": since}
        ).pl()
        calls = views.sql(
            "select g.* from generations g join materializations m using (asset, partition, run_id) where m.finished_at > $since",
            params={"since": since},
        ).pl()
    paid = pl.concat(
        [calls.filter(~pl.col("cached")), calls.filter("cached").join(asked, on="request_key", how="semi")]
    )
    once = paid.sort("cached").unique(["request_key", "attempt"], keep="first", maintain_order=True)
    tokens = once.group_by("asset").agg(pl.len().alias("calls"), pl.col("prompt_tokens", "completion_tokens").sum())
    planned = pl.DataFrame({"asset": [asset["asset"] for asset in plan["assets"]]}, schema={"asset": pl.String})
    took = made.group_by("asset").agg(pl.col("seconds").sum())
    return planned.join(took, on="asset", maintain_order="left").join(tokens, on="asset", how="left", maintain_order="left").with_columns(
        pl.col("calls", "prompt_tokens", "completion_tokens").fill_null(0)
    ).select("asset", "calls", "prompt_tokens", "completion_tokens", "seconds")  # fmt: skip
