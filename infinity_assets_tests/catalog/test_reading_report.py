"""The end of a run names the sources in which columns of one name differ."""

from pathlib import Path

import polars as pl

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.reading_report import describe_reading
from infinity_assets.rows import schema
from infinity_assets_tests.catalog import lakes


def commit(lake: Lake, source: str, *repairs: str) -> None:
    lines = [(None, source, "a.csv", place, "repaired", repair, "{}") for place, repair in enumerate(repairs)]
    decisions = pl.DataFrame(lines, schema=schema.DECISIONS, orient="row")
    outcome = Outcome(schema.ROW.to_frame(), rows_created=3, decisions=decisions)
    lake.commit(lakes.key("raw_pool", source), outcome, "run", 0.0)


def test_sources_whose_columns_of_one_name_differ_are_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    commit(lake, "sound", "nul_bytes")
    assert list(describe_reading(tmp_path, ["sound"])) == []
    commit(lake, "twice", "duplicate_columns", "nul_bytes+duplicate_columns", "nul_bytes")
    (sentence,) = describe_reading(tmp_path, ["sound", "twice"])
    assert "read under it: twice in 2 records." in sentence
