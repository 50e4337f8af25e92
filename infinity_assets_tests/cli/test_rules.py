"""`infinity rules` on a lake with `decontaminated` and `measured`."""

import re
from functools import partial
from pathlib import Path

import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.selection.rules import measures
from infinity_assets_tests.catalog.lakes import key
from infinity_assets_tests.cli.commands import infinity
from infinity_assets_tests.frames import pool

ROWS = pool(
    ("alpha", "f", 0, [("user", "Which river?"), ("assistant", "I'm sorry, but I cannot help with that.")]),
    ("alpha", "f", 1, [("user", "Which town?"), ("assistant", "X")]),
    ("alpha", "f", 2, [("user", "Which sea?"), ("assistant", "The North Sea.")]),
)


rules = partial(infinity, "rules")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Lake(tmp_path)


def make(lake: Lake) -> None:
    lake.commit(key("decontaminated"), Outcome(ROWS), "run", 0.0)
    lake.commit(key("measured"), Outcome(measures.measure(ROWS)), "run", 0.0)


def test_the_table_counts_under_the_settings_in_force(lake: Lake, tmp_path: Path) -> None:
    make(lake)
    lines = {line.split()[0]: re.findall(r"[\d,.]+", line) for line in rules().output.splitlines() if line.strip()}
    assert lines["answer_too_short"] == ["2", "3", "1", "1", "1"]
    assert lines["refusal"] == ["120", "1", "1", "1", "1"]
    (tmp_path / "infinity.yaml").write_text(
        "foundation: {rules: {sources: {alpha: {answer_too_short: 20, refusal: null}}}}"
    )
    lines = {line.split()[0]: re.findall(r"[\d,.]+", line) for line in rules().output.splitlines() if line.strip()}
    assert lines["answer_too_short"] == ["2", "3", "2", "2", "2"]
    assert lines["refusal"] == ["120"]


def test_a_rule_shows_its_rows_and_the_effect_of_another_threshold(lake: Lake) -> None:
    make(lake)
    output = rules("show", "answer_too_short", "--rows", "1").output
    assert "fails  1 (fails below 2)" in output
    assert "passes 14 (fails below 2)" in output
    assert "North Sea" in output
    output = rules("show", "answer_too_short", "--threshold", "20").output
    assert re.search(r"chat\s+┆ 3\s+┆ 1\s+┆ 2\s+┆ 1\s+┆ 2", output)
    assert "fails  14 (fails below 20)" in output


def test_a_missing_asset_or_rule_is_one_sentence(lake: Lake) -> None:
    result = rules()
    assert (result.exit_code, result.output) == (
        1,
        "Error: `decontaminated` has not been materialized: `infinity run --until decontaminated`.\n",
    )
    make(lake)
    result = rules("show", "nonsense")
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no rule `nonsense`; there are no_answer,")
