"""Display of a plan as a table, as sentences and as JSON."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from rich.console import Console

from infinity_assets.catalog.staleness import Reason
from infinity_assets.report.numbers import duration, money, number
from infinity_assets.runs.estimate import Estimate
from infinity_assets.runs.plan import AssetPlan, Plan, Stage
from infinity_assets.runs.plan_report import as_json, compare_table, plan_table, recompute_lines, summary

STAGES = (
    Stage("tag", "m@main", Estimate(1000), Estimate(900), Estimate(450_000, 4e8), Estimate(30_000, 1e6),
          Estimate(3600, 1e4), Estimate(0.45, 1e-4)),
    Stage("judge", "m@main", Estimate(100), Estimate(100), Estimate(20_000), Estimate(100), Estimate(60),
          Estimate(0.02)),
)  # fmt: skip
PLAN = Plan(
    datetime(2026, 1, 1, tzinfo=UTC), 64, False,
    {
        "tagged": {"shard-00": (Reason("new"),), "shard-01": (Reason("new"), Reason("files"))},
        "scored": {"all": (Reason("upstream", "tagged"),)},
    },
    (AssetPlan("tagged", 2, Estimate(1000), STAGES, disk=2e6), AssetPlan("scored", 1, None, known=False)),
    ("something",), 16.0, 64, 30_000, 40.0,
)  # fmt: skip


def shown(table) -> str:
    console = Console(width=110)
    with console.capture() as caught:
        console.print(table)
    return caught.get()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "?"), (0, "0"), (7.4, "7"), (812, "812"), (999.4, "999"), (999.6, "1.00k"), (12_345, "12.3k")),
        *((123_456, "123k"), (999_600, "1.00M"), (4.56e6, "4.56M"), (7.1e9, "7.10G")),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_durations_and_costs_have_suitable_units() -> None:
    assert [duration(s) for s in (None, 8, 119, 720, 7200, 360_000)] == ["?", "8 s", "119 s", "12 min", "2 h", "100 h"]
    assert [money(m) for m in (None, 0, 0.0042, 0.1, 1234.5)] == ["?", "0.00", "0.0042", "0.10", "1,234.50"]


def test_an_asset_sums_its_stages() -> None:
    tagged = PLAN.assets[0]
    assert tagged.calls == Estimate(1100)
    assert tagged.stored == 100
    assert tagged.prompt_tokens is not None
    assert tagged.prompt_tokens.value == 470_000
    assert tagged.prompt_tokens.low < 450_000 < 470_000 < tagged.prompt_tokens.high
    assert tagged.cost is not None
    assert tagged.cost.value == pytest.approx(0.47)
    assert tagged.cost.low < 0.47 < tagged.cost.high


def test_the_table_marks_unknown_numbers() -> None:
    lines = shown(plan_table(PLAN)).splitlines()
    assert max(map(len, lines)) <= 110
    assert not any("…" in line for line in lines)
    scored = next(line for line in lines if line.startswith("scored"))
    assert scored.split()[1:] == ["?"] * 8
    tagged = next(line for line in lines if line.startswith("tagged"))
    assert tagged.split()[1:5] == ["1.00k", "100", "1.00k", "470k"]


def test_partitions_with_the_same_reason_share_a_line() -> None:
    assert [" ".join(line.split()) for line in recompute_lines(PLAN)] == [
        "tagged never materialized (2 partitions)",
        "files are missing or incomplete (shard-01)",
        "scored input is materialized again and may change: tagged",
    ]


def test_the_summary_states_the_cost_of_the_sample() -> None:
    text = " ".join(summary(PLAN))
    assert "64 calls (30.0k tokens, 40 s)" in text
    assert "16 s" in text


def test_json_contains_every_number() -> None:
    plan = json.loads(json.dumps(as_json(PLAN)))
    tagged, scored = plan["assets"]
    assert tagged["prompt_tokens"]["value"] == 470_000
    assert [stage["prompt"] for stage in tagged["stages"]] == ["tag", "judge"]
    assert scored["to_make"] is None
    assert plan["total"]["to_make"] is None, "a sum with an unknown part is unknown"
    assert {reason["kind"] for line in plan["recompute"] for reason in line["reasons"]} == {"new", "files", "upstream"}


def test_the_comparison_shows_planned_and_actual_usage() -> None:
    used = pl.DataFrame(
        {"asset": ["tagged"], "calls": [500], "prompt_tokens": [470_000], "completion_tokens": [0], "seconds": [3660.0]}
    )
    text = shown(compare_table(as_json(PLAN), used))
    assert "1.00k / 500 +100 %" in text
    assert "470k / 470k +0 %" in text
