"""Tables, sentences and JSON of a plan."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from infinity_assets.report.numbers import duration, money, number, size
from infinity_assets.runs.estimate import Estimate, total
from infinity_assets.runs.plan import AssetPlan, Plan

_WIDTH = 110


def _ranged(estimate: Estimate | None, show: Callable[[float | None], str] = number) -> str:
    """Return the value and, on a second line, its range if there is one."""
    if estimate is None:
        return "?"
    low, high = show(estimate.low), show(estimate.high)
    return show(estimate.value) if low == high else f"{show(estimate.value)}\n[dim]{_between(low, high)}[/dim]"


def _between(low: str, high: str) -> str:
    """Return a range such as `1.2-3.4k` or `8-12 min`, with a common unit written once."""
    one, other = (text.lstrip("0123456789.,") for text in (low, high))
    return f"{low.removesuffix(one) if one == other else low}-{high}"


def plan_table(plan: Plan) -> Table:
    """Return the table of a plan: one line per asset with 90 % ranges, and the totals."""
    basis = "the response store alone" if plan.offline else f"a sample of {plan.sample} rows per asset"
    shown = _table(f"What a run would do, from {basis}")
    shown.add_column("asset", no_wrap=True)
    sums = totals(plan.assets)
    priced = sums["cost"] is None or sums["cost"].value > 0
    for column in (
        "rows",
        "stored",
        "calls to make",
        "prompt tokens",
        "completion tokens",
        "time",
        *(["cost"] if priced else []),
        "bytes",
    ):
        shown.add_column(column, justify="right")

    def add_line(
        name: str, rows: str, stored: str, asks: bool, value_of: Callable[[str], Estimate | None], disk: float | None
    ) -> None:
        counts = [_ranged(value_of(key)) if asks else "" for key in ("to_make", "prompt_tokens", "completion_tokens")]
        cost = [_ranged(value_of("cost"), money) if asks else ""] if priced else []
        shown.add_row(name, rows, stored, *counts, _ranged(value_of("seconds"), duration), *cost, size(disk))

    for asset in plan.assets:
        if not asset.known and not asset.stages:
            shown.add_row(asset.asset, *["?"] * (len(shown.columns) - 1))
            continue
        asks = asset.calls is None or asset.calls.value > 0
        add_line(
            asset.asset,
            _ranged(asset.rows),
            number(asset.stored) if asks else "",
            asks,
            partial(getattr, asset),
            asset.disk,
        )
    shown.add_section()
    add_line("all", "", number(sums["stored"]), True, sums.get, sums["disk"])
    return shown


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        width=_WIDTH,
    )


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
    """Return the sums over all assets. A sum is None if one of its parts is None."""

    def add_estimates(value_of: Callable[[AssetPlan], Estimate | None]) -> Estimate | None:
        parts = [value_of(asset) for asset in assets]
        return None if None in parts else total(part for part in parts if part)

    def add_numbers(value_of: Callable[[AssetPlan], float | None]) -> float | None:
        parts = [value_of(asset) for asset in assets]
        return None if None in parts else sum(part or 0.0 for part in parts)

    return {
        "stored": add_numbers(lambda a: a.stored),
        "to_make": add_estimates(lambda a: a.to_make),
        "prompt_tokens": add_estimates(lambda a: a.prompt_tokens),
        "completion_tokens": add_estimates(lambda a: a.completion_tokens),
        "seconds": add_estimates(lambda a: a.seconds),
        "cost": add_estimates(lambda a: a.cost),
        "disk": add_numbers(lambda a: a.disk),
    }


def recompute_lines(plan: Plan) -> Iterator[str]:
    """Yield why assets would be materialized: a line per asset and reason, with the number of partitions concerned."""
    for asset, partitions in plan.reasons.items():
        by_reason: dict[str, list[str]] = {}
        for partition, reasons in partitions.items():
            for reason in reasons:
                by_reason.setdefault(_without_partition(str(reason), partition), []).append(partition)
        for place, (reason, names) in enumerate(by_reason.items()):
            extent = "" if names == ["all"] else f" ({names[0]})" if len(names) == 1 else f" ({len(names)} partitions)"
            yield f"{asset if not place else '':<24}{reason}{extent}"


def _without_partition(reason: str, partition: str) -> str:
    """Return a reason without the partition's name, so that it is equal for all partitions."""
    return reason.replace(f" ({partition})", "")


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON. An estimate becomes an object with value, low and high (90 % interval)."""

    def described(asset: AssetPlan) -> dict[str, Any]:
        return {
            "asset": asset.asset,
            "partitions": asset.partitions,
            "rows": _as_json(asset.rows),
            "calls": _as_json(asset.calls),
            "stored": asset.stored,
            **{
                name: _as_json(getattr(asset, name))
                for name in ("to_make", "prompt_tokens", "completion_tokens", "seconds", "cost")
            },
            "texts_to_embed": asset.embedded,
            "disk": asset.disk,
            "stages": [
                {
                    "prompt": stage.prompt,
                    "model": stage.model,
                    **{
                        n: _as_json(getattr(stage, n))
                        for n in ("calls", "to_make", "prompt_tokens", "completion_tokens")
                    },
                    "seconds": stage.seconds,
                    "cost": stage.cost,
                }
                for stage in asset.stages
            ],
            "asked": list(asset.asked),
        }

    sums = totals(plan.assets)
    return {
        "made_at": plan.made_at.isoformat(),
        "sample": plan.sample,
        "offline": plan.offline,
        "total": {name: _as_json(value) if isinstance(value, Estimate) else value for name, value in sums.items()},
        "engine_seconds": plan.engine_seconds,
        "made_by_the_sample": {
            "calls": plan.sample_calls,
            "tokens": plan.sample_tokens,
            "seconds": plan.sample_seconds,
        },
        "assets": [described(asset) for asset in plan.assets],
        "recompute": [
            {"asset": asset, "partition": partition, "reasons": [{"kind": r.kind, "detail": r.detail} for r in reasons]}
            for asset, partitions in plan.reasons.items()
            for partition, reasons in partitions.items()
        ],
        "notes": list(plan.notes),
    }


def _as_json(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def compare_table(plan: dict[str, Any], used: pl.DataFrame) -> Table:
    """Return the table that compares a plan with the actual usage, with the excess of the plan in percent.

    Args:
        plan: The result of `as_json`.
        used: The result of `observed_cost.actual_usage`.
    """
    shown = _table("Planned / used, and by how much the plan was over")
    shown.add_column("asset", no_wrap=True)
    names = {
        "to_make": "calls",
        "prompt_tokens": "prompt_tokens",
        "completion_tokens": "completion_tokens",
        "seconds": "seconds",
    }
    for column in ("calls", "prompt tokens", "completion tokens", "seconds"):
        shown.add_column(column, justify="right", no_wrap=True)
    actual = {row["asset"]: row for row in used.iter_rows(named=True)}
    planned = [asset for asset in plan["assets"] if asset["asset"] in actual]
    for asset in planned:
        shown.add_row(asset["asset"], *(_beside(asset[p], actual[asset["asset"]][u]) for p, u in names.items()))
    shown.add_section()
    sums: dict[str, dict[str, float] | None] = {
        p: None if any(a[p] is None for a in planned) else {"value": sum(a[p]["value"] for a in planned)} for p in names
    }
    shown.add_row("all", *(_beside(sums[p], float(used[u].sum())) for p, u in names.items()))
    return shown


def _beside(planned: dict[str, float] | None, used: float) -> str:
    if planned is None:
        return f"? / {number(used)}"
    over = f" {100 * (planned['value'] / used - 1):+.0f} %" if used else ""
    return f"{number(round(planned['value']))} / {number(round(used))}{over}" if used or round(planned["value"]) else ""
