"""`infinity sources preview` and `raw`: files of any kind are shown as rows, or with lines that would make them fit."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import polars as pl
import pytest
import yaml
import zstandard

from infinity_assets.catalog.lake import Lake, Outcome
from infinity_assets.reading.sources import load_source
from infinity_assets_tests.catalog import lakes
from infinity_assets_tests.cli.commands import done, infinity, refused
from infinity_assets_tests.reading.in_memory import read

ALPACA = {"instruction": "Name a river.", "input": "", "output": "The Aare is a river."}
MESSAGES = {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Good day."}]}
PAIR = {"question": "What is tuff?", "answer": "A rock of volcanic ash."}
OWN = [
    {
        "ticket": {"subject": f"Printer {n} is on fire", "body": "It burns."},
        "end": {"reply": f"We sent a firefighter to {n}."},
    }
    for n in range(9)
]


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def table(suffix: str) -> bytes:
    data, frame = io.BytesIO(), pl.DataFrame([PAIR, PAIR])
    frame.write_parquet(data) if suffix == "parquet" else frame.write_ipc(data)
    return data.getvalue()


def archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in {"in/a.json": json.dumps([ALPACA]).encode(), "in/b.docx": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


KINDS = {
    "a.json": json.dumps([ALPACA, ALPACA]).encode(),
    "b.jsonl.gz": gzip.compress(lines(MESSAGES)),
    "c.ndjson.zst": zstandard.compress(lines(PAIR)),
    "d.csv": b"question,answer\nWhat is clay?,Fine earth.\n",
    "e.tsv": b"prompt\tcompletion\nOne and\tone is two.\n",
    "f.parquet": table("parquet"),
    "g.arrow": table("arrow"),
    "h.yaml": b"conversations:\n- - Hello?\n  - Good day.\n",
    "i.txt.bz2": bz2.compress(b"A passage of text.\n\nAnother one.\n"),
    "j.tar.xz": archive(),
    "k.jsonl.xz": lzma.compress(lines(ALPACA) + b'{"instruction": "cut'),
    "own/l.jsonl": lines(*OWN),
}
ROWS = {"a": 2, "b": 1, "c": 1, "d": 1, "e": 1, "f": 2, "g": 2, "h": 1, "i": 2, "j": 1, "k": 1, "own/l": 0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of twelve files."""
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    downloads = tmp_path / "downloads"
    for name, content in {**KINDS, "README.md": b"mine", "paper.pdf": b"%PDF"}.items():
        (downloads / name).parent.mkdir(parents=True, exist_ok=True)
        (downloads / name).write_bytes(content)
    return downloads


def preview(*arguments: str) -> dict:
    return json.loads(done("preview", *arguments, "--json"))


def suggested(shown: str) -> str:
    """Return the YAML lines on the terminal, as a user would copy them: between blank lines."""
    block = shown.split("would fit:\n\n", 1)[1]
    return block.split("\n\n", 1)[0] + "\n"


def test_every_file_is_shown_with_its_rows(folder: Path) -> None:
    result = preview(str(folder))
    assert {file["file"].split(".")[0]: file["rows"] for file in result["files"]} == ROWS
    assert result["left_out"] == {
        "README.md": "a description of the data, by its name",
        "j.tar.xz!in/b.docx": ".docx is not a known container",
        "paper.pdf": ".pdf is not a known container",
    }
    assert result["records"] - result["rows"] == sum(one["records"] for one in result["dropped"]) == len(OWN) + 1
    shown = done("preview", str(folder))
    for text in (
        "JSON list in tar in xz",
        "alpaca 2",
        "truncated_json",
        "paper.pdf: .pdf is",
        "The Aare is",
        "12 files: ",
    ):
        assert text in shown
    assert not (folder.parent / "data").exists(), "nothing is written"


def test_the_suggested_lines_make_the_records_fit(folder: Path) -> None:
    """The records need their own source, since the lines apply to all records of a source."""
    shown = done("preview", str(folder))
    assert '`include: ["own/l.jsonl"]`' in shown
    (folder / "own" / "source.yaml").write_text(suggested(shown))
    assert read(load_source(folder / "own")).rows.height == len(OWN)
    result = preview(str(folder / "own"))
    assert (result["rows"], result["unknown"]) == (len(OWN), [])
    assert result["examples"][0]["messages"][1] == {"role": "assistant", "content": "We sent a firefighter to 0."}


def test_a_mapping_is_tried_before_it_is_written(folder: Path) -> None:
    file = str(folder / "own" / "l.jsonl")
    fields = {"instruction": "{ticket.subject}: {ticket.body}", "output": "end.reply"}
    mapping = [word for name, path in fields.items() for word in ("--field", f"{name}={path}")]
    shown = done("preview", file, "--layout", "alpaca", *mapping)
    assert "Printer 0 is on fire: It burns." in shown
    tried = yaml.safe_load(shown.split("Lines tried, for source.yaml:")[1])
    assert tried == {"layout": "alpaca", "fields": fields}
    assert not list(folder.rglob("source.yaml"))


def test_files_can_be_selected_and_records_limited(folder: Path) -> None:
    assert [file["file"] for file in preview(str(folder), "--file", "own/*")["files"]] == ["own/l.jsonl"]
    result = preview(str(folder), "--limit", "3", "--file", "*.jsonl", "--rows", "0")
    assert [(file["records"], file["whole"]) for file in result["files"]] == [(3, False)]
    assert result["examples"] == []
    assert preview(str(folder), "--limit", "3", "--all")["records"] == sum(ROWS.values()) + len(OWN) + 1


def test_a_source_of_the_pool_is_previewed_by_its_name(folder: Path) -> None:
    done("add", str(folder), "--name", "mine")
    assert preview("mine")["source"]["name"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "There is no path nowhere"),
        (["downloads", "--layout", "nix"], "There is no layout nix"),
        (["downloads", "--field", "output"], "write NAME=PATH"),
        (["downloads", "--field", "output={x"], "`fields.output`"),
        (["downloads/paper.pdf"], ".pdf is not a known container"),
        (["downloads", "--file", "z*"], "Nothing could be read"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, arguments: list[str], says: str) -> None:
    result = infinity("sources", "preview", *arguments)
    assert result.exit_code == 1
    assert says in result.output.splitlines()[-1]


def test_raw_returns_the_exact_bytes_of_a_record(folder: Path, tmp_path: Path) -> None:
    broken = b'{"instruction": "\xff\x00 cut'
    (folder / "own" / "l.jsonl").write_bytes(lines(OWN[0]) + broken)
    reading = read(load_source(folder / "own"))
    outcome = Outcome(
        reading.rows,
        rows_created=reading.records,
        decisions=reading.decisions,
        quarantine=reading.quarantine,
        files=reading.files,
    )
    Lake(tmp_path / "data").commit(lakes.key("raw_pool", "own"), outcome, "run", 0.0)
    result = infinity("sources", "raw", "own", "l.jsonl", "1")
    assert result.exit_code == 0
    assert result.stdout_bytes == broken
    done("raw", "own", "l.jsonl", "1", "--out", "record")
    assert (tmp_path / "record").read_bytes() == broken
    files = done("raw", "own")
    assert "l.jsonl" in files
    assert "unknown_layout" in files
    records = done("raw", "own", "l.jsonl")
    assert str(len(broken)) in records
    assert "own has no file x.jsonl with records" in refused("raw", "own", "x.jsonl")
    assert infinity("sources", "raw", "nix").output == (
        "Error: nix has not been read: `infinity run --until raw_pool` reads the sources, "
        "`infinity sources list` names them.\n"
    )
