"""Tests that a row which one record calls wrong counts as wrong, whatever other records say."""

import json
from pathlib import Path

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.verdicts import find_marked_wrong
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make


def test_one_verdict_of_any_source_is_enough(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    assert find_marked_wrong(lake).to_list() == []
    ids = {}
    for source, verdicts in {"a": {"q": True, "r": None}, "b": {"q": False, "s": True, "t": False}}.items():
        lines = [
            json.dumps({"question": question, "answer": "a", **({} if right is None else {"is_correct": right})})
            for question, right in verdicts.items()
        ]
        reading = read(make(tmp_path / source, {"a.jsonl": "\n".join(lines).encode()}))
        ids |= {row["messages"][0]["content"]: row["row_id"] for row in reading.rows.to_dicts()}
        outcome = Outcome(
            reading.rows, rows_created=reading.records, decisions=reading.decisions, annotations=reading.annotations
        )
        lake.commit(lakes.key("raw_pool", source), outcome, "run", 0.0)
    assert set(find_marked_wrong(lake)) == {ids["q"], ids["t"]}
