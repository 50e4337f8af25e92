"""A plan as tables and sentences for the terminal, and as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from infinity_assets.report.numbers import duration, money, number
from infinity_assets.runs.estimate import Estimate, total
from infinity_assets.runs.plan import AssetPlan, Plan

_WIDTH = 110

_COUNTS = ("to_make", "prompt_tokens", "completion_tokens")


def _ranged(estimate: Estimate | None, show: Callable[[float | None], str] = number) -> str:
    """Return the value of an estimate and, on a second line, its 90 % interval unless both ends look the same."""
    if estimate is None:
        return "?"
    low, high = show(estimate.low), show(estimate.high)
    return show(estimate.value) if low == high else f"{show(estimate.value)}\n[dim]{_between(low, high)}[/dim]"


def _between(low: str, high: str) -> str:
    """Return a range such as `1.2-3.4k` or `8-12 min`. A unit that both ends share is written once."""
    one, other = (text.lstrip("0123456789.,") for text in (low, high))
    return f"{low.removesuffix(one) if one == other else low}-{high}"


def plan_table(plan: Plan) -> Table:
    """Return the table of a plan: one line per asset with 90 % intervals, and a line of totals."""
    basis = "the response store alone" if plan.offline else f"a sample of {plan.sample} rows per asset"
    sums = totals(plan.assets)
    priced = sums["cost"] is None or sums["cost"].value > 0
    numbers = ["rows", "stored", "calls to make", "prompt tokens", "completion tokens", "time"]
    shown = _table(f"What a run would do, from {basis}", [*numbers, *(["cost"] if priced else []), "bytes"])

    def add_line(name: str, rows: Estimate | None, values: Mapping[str, Any], *, asks: bool = True) -> None:
        calls = [number(values["stored"]), *(_ranged(values[key]) for key in _COUNTS)] if asks else [""] * 4
        cost = [_ranged(values["cost"], money) if asks else ""] if priced else []
        first = "" if name == "all" else _ranged(rows)
        shown.add_row(name, first, *calls, _ranged(values["seconds"], duration), *cost, number(values["disk"]))

    for asset in plan.assets:
        asks = asset.calls is None or asset.calls.value > 0
        add_line(asset.asset, asset.rows, {name: getattr(asset, name) for name in sums}, asks=asks)
    shown.add_section()
    add_line("all", None, sums)
    return shown


def _table(title: str, numbers: Sequence[str], *, no_wrap: bool = False) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        width=_WIDTH,
    )
    table.add_column("asset", no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=no_wrap)
    return table


def summary(plan: Plan) -> Iterator[str]:
    """Yield the sentences under the table of a plan."""
    if plan.engine_seconds:
        yield f"Starting the engines comes on top, once: {duration(plan.engine_seconds)}."
    if plan.sample_calls:
        yield (
            f"The sample made {number(plan.sample_calls)} calls ({number(plan.sample_tokens)} tokens, "
            f"{duration(plan.sample_seconds)}), and their responses are stored. Those that the run needs are among the "
            "calls to make, but already paid."
        )
    if texts := sum(asset.embedded for asset in plan.assets):
        yield f"Texts to embed: {number(texts)}. The column `time` includes them."
    yield (
        "Ranges contain the true number in 9 of 10 cases, as far as the sample's scatter shows. Times were measured "
        "under the current load of this machine."
    )


def totals(assets: Sequence[AssetPlan]) -> dict[str, Any]:
    """Return the sum of each number over all assets; `None` if the number of one asset is `None`."""

    def add(name: str) -> float | None:
        parts = [getattr(asset, name) for asset in assets]
        return None if None in parts else sum(parts, 0.0)

    estimates = {name: total(getattr(asset, name) for asset in assets) for name in (*_COUNTS, "seconds", "cost")}
    return {"stored": add("stored"), **estimates, "disk": add("disk")}


def recompute_lines(plan: Plan) -> Iterator[str]:
    """Yield the reasons to materialize: one line per asset and reason, with its partition or number of partitions."""
    for asset, partitions in plan.reasons.items():
        by_reason: dict[str, list[str]] = {}
        for partition, reasons in partitions.items():
            for reason in reasons:
                same = str(reason).replace(f" ({partition})", "")
                by_reason.setdefault(same, []).append(partition)
        for place, (reason, names) in enumerate(by_reason.items()):
            extent = "" if names == ["all"] else f" ({names[0]})" if len(names) == 1 else f" ({len(names)} partitions)"
            yield f"{asset if not place else '':<24}{reason}{extent}"


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON. An estimate becomes an object: value, low and high, the ends of the 90 % interval."""

    def describe_asset(asset: AssetPlan) -> dict[str, Any]:
        numbers = ("asset", "partitions", "rows", "calls", "stored", *_COUNTS, "seconds", "cost")
        return {
            **{name: _as_json(getattr(asset, name)) for name in numbers},
            "texts_to_embed": asset.embedded,
            "disk": asset.disk,
            "stages": [
                {
                    **{name: _as_json(getattr(stage, name)) for name in ("prompt", "model", "calls", *_COUNTS)},
                    "seconds": stage.seconds and stage.seconds.value,
                    "cost": stage.cost and stage.cost.value,
                }
                for stage in asset.stages
            ],
            "asked": list(asset.asked),
        }

    return {
        "made_at": plan.made_at.isoformat(),
        "sample": plan.sample,
        "offline": plan.offline,
        "total": {name: _as_json(value) for name, value in totals(plan.assets).items()},
        "engine_seconds": plan.engine_seconds,
        "made_by_the_sample": {
            "calls": plan.sample_calls,
            "tokens": plan.sample_tokens,
            "seconds": plan.sample_seconds,
        },
        "assets": [describe_asset(asset) for asset in plan.assets],
        "recompute": [
            {"asset": asset, "partition": partition, "reasons": [asdict(reason) for reason in reasons]}
            for asset, partitions in plan.reasons.items()
            for partition, reasons in partitions.items()
        ],
        "notes": list(plan.notes),
    }


def _as_json(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {"value": value.value, "low": value.low, "high": value.high}
    return value


def compare_table(plan: dict[str, Any], used: pl.DataFrame) -> Table:
    """Return the table of a plan's numbers (`as_json`) beside those of `observed_cost.actual_usage`.

    A percentage tells by how much the plan was too high.
    """
    numbers = ["calls", "prompt tokens", "completion tokens", "seconds"]
    shown = _table("Planned / used, and by how much the plan was over", numbers, no_wrap=True)
    names = (*_COUNTS, "seconds")
    actual = {asset: counts for asset, *counts in used.select("asset", "calls", *names[1:]).iter_rows()}
    planned = {
        asset["asset"]: [asset[name] and asset[name]["value"] for name in names]
        for asset in plan["assets"]
        if asset["asset"] in actual
    }
    for asset, values in planned.items():
        shown.add_row(asset, *map(_beside, values, actual[asset]))
    shown.add_section()
    sums = [None if None in column else sum(column) for column in zip(*planned.values(), strict=True)]
    shown.add_row("all", *map(_beside, sums, (sum(column) for column in zip(*actual.values(), strict=True))))
    return shown


def _beside(planned: float | None, used: float) -> str:
    if planned is None:
        return f"? / {number(used)}"
    over = f" {100 * (planned / used - 1):+.0f} %" if used else ""
    return f"{number(round(planned))} / {number(round(used))}{over}" if used or round(planned) else ""
