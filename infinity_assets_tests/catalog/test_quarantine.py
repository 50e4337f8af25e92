"""Dropped and repaired records are listed, and their bytes returned as they were in the file."""

from pathlib import Path

import pytest

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.catalog.quarantine import quarantined_bytes, quarantined_files, quarantined_records
from infinity_assets.errors import InfinityError
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make

LINES = [
    b'{"question": "q", "answer": "a"}',
    b'{"question": "\xff\xfe',
    b'{"question": "q", "answer": "a",}',
    b'{"instances": [1, 2], "x": 3}',
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    reading = read(make(tmp_path / "odd", {"a.jsonl": b"\n".join(LINES), "sound.jsonl": LINES[0]}))
    outcome = Outcome(
        reading.rows,
        rows_created=reading.records,
        decisions=reading.decisions,
        quarantine=reading.quarantine,
        files=reading.files,
    )
    lake = Lake(tmp_path / "data")
    lake.commit(lakes.key("raw_pool", "odd"), outcome, "run", 0.0)
    return lake


def test_files_records_and_bytes_are_returned(lake: Lake) -> None:
    files = quarantined_files(lake, "odd")
    assert files["records"].sum() == 3
    assert set(files["file"]) == {"a.jsonl"}
    records = quarantined_records(lake, "odd", "a.jsonl")
    assert records.select("position", "verdict", "bytes").rows() == [
        (1, "dropped", len(LINES[1])),
        (2, "repaired", len(LINES[2])),
        (3, "dropped", len(LINES[3])),
    ]
    assert [quarantined_bytes(lake, "odd", "a.jsonl", position) for position in records["position"]] == LINES[1:]
    assert quarantined_records(lake, "odd", "sound.jsonl").is_empty()


def test_an_unknown_file_is_an_error(lake: Lake) -> None:
    with pytest.raises(InfinityError, match="odd has no file nix with records"):
        quarantined_records(lake, "odd", "nix")


@pytest.mark.parametrize(
    ("source", "file", "position"), [("odd", "a.jsonl", 0), ("odd", "nix", 1), ("nix", "a.jsonl", 1)]
)
def test_a_missing_record_is_one_sentence(lake: Lake, source: str, file: str, position: int) -> None:
    with pytest.raises(InfinityError, match=f"^{source} "):
        quarantined_bytes(lake, source, file, position)
