"""The corpus of layouts (`corpus/*.yaml`): small made-up files in the formats of public datasets and tools.

Each layout gives the name and the content of a file, and what is right: the rows, and how many records must be dropped
for which reason. It is written from the description of the format, not from what the reader does.

A row is a list of texts, the user's first, or an object with `turns` and any of `system`, `kind`, `kept` (annotations
that it must have), `or` (rows that are right too) and `optional` (it may also be dropped). `shuffled` layouts may list
options in any order. The reason `any` stands for every reason.
"""

import csv
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from infinity_assets.reading.preview import preview
from infinity_assets.reading.sources import Source
from infinity_assets_tests.reading.in_memory import read

_LETTER = re.compile(r"^[A-Z]\. ")


class CorpusLayout(NamedTuple):
    """A layout of the corpus."""

    name: str
    theme: str
    """Name of the file that describes it, without suffix."""
    file: str
    content: Any
    rows: list[Any]
    refused: dict[str, int]
    """Number of records that must be dropped, by reason."""
    held_out: bool
    """True if the reader must not be changed for its sake."""
    shuffled: bool


class Outcome(NamedTuple):
    """Numbers of records of a layout: right, dropped although they could be read, and read wrongly."""

    right: int
    refused: int
    wrong: list[str]
    """The rows that are wrong, as text."""


@cache
def load_layouts() -> tuple[CorpusLayout, ...]:
    """Return the layouts of the corpus in the order of their files."""
    return tuple(
        CorpusLayout(
            entry["name"],
            path.stem,
            entry["file"],
            entry["content"],
            entry.get("rows", []),
            entry.get("refused", {}),
            entry.get("held_out", False),
            entry.get("shuffled", False),
        )
        for path in sorted(Path(__file__).with_name("corpus").glob("*.yaml"))
        for entry in yaml.load(path.read_bytes(), yaml.CSafeLoader)
    )


def write_file(layout: CorpusLayout, folder: Path) -> None:
    """Write the file of a layout in the container that its suffix names."""
    path = folder / layout.file
    content = layout.content
    suffix = path.suffix
    if isinstance(content, str):
        path.write_text(content)
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    elif suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(content[0]), delimiter="\t" if suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(content)
    elif suffix == ".yaml":
        path.write_text(yaml.safe_dump(content, allow_unicode=True))
    elif suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in content))
    else:
        path.write_text(json.dumps(content, ensure_ascii=False))


def read_layout(layout: CorpusLayout, folder: Path) -> Outcome:
    """Read the files of a layout without help, and compare the rows."""
    return _compare(layout, Source(name="s", path=folder))


def try_advice(layout: CorpusLayout, folder: Path) -> Outcome | None:
    """Read the files of a layout as the first advice of a preview says. Return `None` if it gives no advice."""
    unknown = preview(Source(name="s", path=folder)).unknown
    advice = yaml.safe_load(unknown[0].lines) if unknown else None
    if not advice:
        return None
    return _compare(layout, Source(name="s", path=folder, layout=advice.get("layout"), fields=advice.get("fields", {})))


def _compare(layout: CorpusLayout, source: Source) -> Outcome:
    frames = read(source, guess="sure")
    kept: dict[tuple[str, int], dict[str, object]] = {}
    for row_id, position, name, value in frames.annotations.select("row_id", "position", "name", "value").rows():
        kept.setdefault((row_id, position), {})[name] = json.loads(value)
    found = [
        (messages, kind, kept.get((row_id, position), {}))
        for row_id, position, messages, kind in frames.rows.select("row_id", "position", "messages", "kind").rows()
    ]
    expected = [row if isinstance(row, dict) else {"turns": row} for row in layout.rows]
    right = 0
    for row in expected:
        options = [
            row,
            *({**row, **(other if isinstance(other, dict) else {"turns": other})} for other in row.get("or", [])),
        ]
        match = next((one for one in found if any(_is_same(one, option, layout.shuffled) for option in options)), None)
        if match:
            found.remove(match)
        right += match is not None and not row.get("optional", False)
    dropped = Counter(frames.decisions.filter(verdict="dropped")["reason"].to_list())
    for reason, count in layout.refused.items():
        right += min(count, dropped.total() if reason == "any" else dropped[reason])
    total = sum(not row.get("optional", False) for row in expected) + sum(layout.refused.values())
    return Outcome(right, max(0, total - right - len(found)), [_show(*row) for row in found])


def _is_same(found: tuple[list[dict[str, str]], str, dict], row: dict, shuffled: bool) -> bool:
    """Return whether a row has the messages, the kind and the annotations of an expected row."""
    messages, kind, kept = found
    turns = row["turns"]
    texts = [row["system"], *turns] if "system" in row else turns
    wanted_kind = row.get("kind", "instruction" if len(turns) == 1 else "conversation")
    return (
        kind == wanted_kind
        and ("system" in row) == (messages[0]["role"] == "system")
        and [_normalize(message["content"], shuffled) for message in messages]
        == [_normalize(text, shuffled) for text in texts]
        and all(kept.get(name) == value for name, value in row.get("kept", {}).items())
    )


def _normalize(text: str, shuffled: bool) -> str:
    """Return a text with single spaces; if `shuffled`, with its lines in order and without the letters of options."""
    lines = text.splitlines()
    return " ".join(" ".join(sorted(_LETTER.sub("", line) for line in lines) if shuffled else lines).split())


def _show(messages: list[dict[str, str]], kind: str, kept: dict[str, object]) -> str:
    turns = " | ".join(f"{message['role'][0]}:{message['content']}" for message in messages)
    return f"[{kind}] {turns} {kept or ''}".strip()
