"""Tests that a row which one record calls wrong counts as wrong, whatever other records say."""

import json
from pathlib import Path

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.verdicts import find_marked_wrong, find_masked_turns
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make


def make_lake(folder: Path, sources: dict[str, list[dict]]) -> tuple[Lake, dict[str, str]]:
    """Return a lake with the sources read, and the row ids by the first message."""
    lake = Lake(folder / "data")
    ids: dict[str, str] = {}
    for source, records in sources.items():
        lines = "\n".join(map(json.dumps, records))
        reading = read(make(folder / source, {"a.jsonl": lines.encode()}))
        ids |= {row["messages"][0]["content"]: row["row_id"] for row in reading.rows.to_dicts()}
        outcome = Outcome(
            reading.rows, rows_created=reading.records, decisions=reading.decisions, annotations=reading.annotations
        )
        lake.commit(lakes.key("raw_pool", source), outcome, "run", 0.0)
    return lake, ids


def test_one_verdict_of_any_source_is_enough(tmp_path: Path) -> None:
    assert find_marked_wrong(Lake(tmp_path / "none")).to_list() == []
    sources = {"a": {"q": True, "r": None}, "b": {"q": False, "s": True, "t": False}}
    records = {
        name: [
            {"question": q, "answer": "a"} | ({} if right is None else {"is_correct": right}) for q, right in of.items()
        ]
        for name, of in sources.items()
    }
    lake, ids = make_lake(tmp_path, records)
    assert set(find_marked_wrong(lake)) == {ids["q"], ids["t"]}


def test_a_turn_that_any_source_masks_is_masked(tmp_path: Path) -> None:
    def record(first: str, *weights: int | None) -> dict:
        turns = [first, "a", "r", "b", "s", "c"]
        messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)]
        return {
            "messages": [turn if n % 2 == 0 else {**turn, "weight": weights[n // 2]} for n, turn in enumerate(messages)]
        }

    lake, ids = make_lake(tmp_path, {"a": [record("p", 0, 1, 1), record("q", 1, 1, None)], "b": [record("p", 1, 0, 1)]})
    assert find_masked_turns(lake).collect().rows() == [(ids["p"], [1, 3])]
