"""`infinity arena` on a small lake."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result

from infinity_assets_tests.cli.commands import infinity
from infinity_assets_tests.defs.scored_lake import make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data")).data


def arena(data: Path, *arguments: str) -> Result:
    return infinity("arena", *arguments, INFINITY_DATA=str(data), COLUMNS="200")


def test_all_contestants_select_from_the_rows_that_all_can_rank(data: Path, tmp_path: Path) -> None:
    result = arena(data, "--size", "12", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    names = ["random", "longest", "ifd", "deita", "dsir", "instag", "infinity"]
    assert all(name in result.output for name in names)
    report = json.loads((tmp_path / "arena.json").read_text())
    assert [line["selector"] for line in report["summary"]] == names
    assert {line["rows"] for line in report["summary"]} == {12}
    # Of 240 rows 80 have scores; of those every fifth has no vector, and 8 decline to answer.
    assert report["rows"] == 56
    chosen = pl.read_parquet(tmp_path / "arena.parquet")
    assert chosen.height == 12 * 7
    assert (tmp_path / "arena.html").read_text().startswith("<!doctype html>")


def test_each_contestant_selects_from_all_rows_it_can_rank(data: Path, tmp_path: Path) -> None:
    result = arena(data, "--size", "100", "--each", "--selectors", "random,ifd", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    rows = {line["selector"]: line["rows"] for line in json.loads((tmp_path / "arena.json").read_text())["summary"]}
    assert rows["random"] == 100
    assert rows["ifd"] == 72
    assert "ifd took" in result.output


def test_an_impossible_contest_is_one_sentence(data: Path) -> None:
    assert "Only 56 rows" in arena(data, "--size", "100", "--selectors", "random,deita").output
    assert "no selector best" in arena(data, "--selectors", "random,best").output
    assert "complexity times quality" in arena(data, "--selectors", "help").output
    assert "foundation.loop.items" in arena(data, "--size", "12", "--proxy").output
