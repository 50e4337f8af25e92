"""A plan, on the terminal and as JSON."""

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
    """The value, and under it the range if there is one."""
    if estimate is None:
        return "?"
    low, high = show(estimate.low), show(estimate.high)
    return show(estimate.value) if low == high else f"{show(estimate.value)}\n[dim]{_between(low, high)}[/dim]"


def _between(low: str, high: str) -> str:
    """`1.2-3.4k`, `8-12 min`: a unit that both have once."""
    one, other = (text.lstrip("0123456789.,") for text in (low, high))
    return f"{low.removesuffix(one) if one == other else low}-{high}"


def plan_table(plan: Plan) -> Table:
    """What every asset would do and cost, with 90 % ranges, and the totals."""
    shown = _table(
        f"What a run would do, from {'the response store alone' if plan.offline else f'a sample of {plan.sample} rows per asset'}"
    )
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

    def line(
        name: str, rows: str, stored: str, asks: bool, of: Callable[[str], Estimate | None], disk: float | None
    ) -> None:
        counted = [_ranged(of(key)) if asks else "" for key in ("to_make", "prompt_tokens", "completion_tokens")]
        cost = [_ranged(of("cost"), money) if asks else ""] if priced else []
        shown.add_row(name, rows, stored, *counted, _ranged(of("seconds"), duration), *cost, size(disk))

    for asset in plan.assets:
        if not asset.known and not asset.stages:
            shown.add_row(asset.asset, *["?"] * (len(shown.columns) - 1))
            continue
        asks = asset.calls is None or asset.calls.value > 0
        line(
            asset.asset,
            _ranged(asset.rows),
            number(asset.stored) if asks else "",
            asks,
            partial(getattr, asset),
            asset.disk,
        )
    shown.add_section()
    line("all", "", number(sums["stored"]), True, sums.get, sums["disk"])
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
    """What stands under the table."""
    if plan.engine_seconds:
        yield f"Starting the engines comes on top, once: {duration(plan.engine_seconds)}."
    if plan.sample_calls:
        yield (
            f"The sample made {number(plan.sample_calls)} calls ({number(plan.sample_tokens)} tokens, {duration(plan.sample_seconds)}), which are "
            "stored: those of rows that the run asks about are among its calls to make, and already paid."
        )
    if texts := sum(asset.embedded for asset in plan.assets):
        yield f"Texts to embed: {number(texts)}; their time is in the column."
    yield "Ranges hold the true number in 9 of 10 cases, as far as the sample's scatter tells; time is as it was measured, at the load of now."


def totals(assets: Sequence[AssetPlan]) -> dict[str, Any]:
    """Of all assets together; null where one is not known."""

    def added(of: Callable[[AssetPlan], Estimate | None]) -> Estimate | None:
        parts = [of(asset) for asset in assets]
        return None if None in parts else total(part for part in parts if part)

    def plain(of: Callable[[AssetPlan], float | None]) -> float | None:
        parts = [of(asset) for asset in assets]
        return None if None in parts else sum(part or 0.0 for part in parts)

    return {
        "stored": plain(lambda a: a.stored),
        "to_make": added(lambda a: a.to_make),
        "prompt_tokens": added(lambda a: a.prompt_tokens),
        "completion_tokens": added(lambda a: a.completion_tokens),
        "seconds": added(lambda a: a.seconds),
        "cost": added(lambda a: a.cost),
        "disk": plain(lambda a: a.disk),
    }


def recompute_lines(plan: Plan) -> Iterator[str]:
    """Why assets would be made again: a line per asset and reason, with the number of partitions it holds for."""
    for asset, partitions in plan.reasons.items():
        by_reason: dict[str, list[str]] = {}
        for partition, reasons in partitions.items():
            for reason in reasons:
                by_reason.setdefault(_for_all(str(reason), partition), []).append(partition)
        for place, (reason, which) in enumerate(by_reason.items()):
            where = "" if which == ["all"] else f" ({which[0]})" if len(which) == 1 else f" ({len(which)} partitions)"
            yield f"{asset if not place else '':<24}{reason}{where}"


def _for_all(reason: str, partition: str) -> str:
    """A reason in words that are the same for all partitions."""
    return reason.replace(f" ({partition})", "")


def as_json(plan: Plan) -> dict[str, Any]:
    """Every number of the plan. An estimate is an object of value, low and high (90 %)."""

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
    """A plan beside what was used: planned, actual, and by how many per cent the plan was over.

    Args:
        plan: What `as_json` gave.
        used: What `catalog.used` gave.
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
