"""Misread sources are named, the worst first, each with the command to preview it."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.misread_sources import describe_misread, misread_sources
from infinity_assets.rows import schema
from infinity_assets_tests.catalog import lakes


def commit(lake: Lake, source: str, records: int, reasons: dict[str, int]) -> None:
    drops = [
        (None, source, "a.jsonl", 0, "dropped", reason, "{}") for reason, count in reasons.items() for _ in range(count)
    ]
    dropped = len(drops)
    files = [
        (source, f"{part}.jsonl", records // 2, records // 2 - lost, 0, lost)
        for part, lost in (("a", dropped), ("b", 0))
    ]
    outcome = Outcome(
        schema.ROW.to_frame(),
        rows_created=records,
        decisions=pl.DataFrame(drops, schema=schema.DECISIONS, orient="row"),
        files=pl.DataFrame(files, schema=schema.FILES, orient="row"),
    )
    lake.commit(lakes.key("raw_pool", source), outcome, "run", 0.0)


def test_sources_above_the_share_are_named_the_worst_first(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    commit(lake, "sound", 100, {})
    commit(lake, "at the share", 100, {"empty_turn": 5})
    commit(lake, "poor", 100, {"empty_turn": 2, "unknown_layout": 3, "unknown_role": 1})
    commit(lake, "poorest", 2000, {"unknown_layout": 500, "empty_turn": 500})
    assert describe_misread(misread_sources(tmp_path, 0.05), lambda name: "layout: a\nb" * (name == "poor")) == [
        "1,006 of 2,100 records of 2 sources were dropped (48%):",
        "poorest: 1,000 of 2,000 records dropped (50%, unknown_layout); "
        "look at it with `infinity sources preview poorest`",
        "poor: 6 of 100 records dropped (6%, unknown_layout); look at it with `infinity sources preview poor`"
        "\n    layout: a\n    b",
    ]
    assert misread_sources(tmp_path, 0.0)["source"].to_list() == ["poorest", "poor", "at the share"]


def test_an_empty_lake_has_no_misread_sources(tmp_path: Path) -> None:
    assert misread_sources(tmp_path, 0.0).is_empty()
