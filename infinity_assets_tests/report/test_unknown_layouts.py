"""What raw_pool's page says of records in no known layout, from the books alone."""

import json
from pathlib import Path

from infinity_assets.reading.suggest import GUESSED
from infinity_assets.report.unknown_layouts import not_understood
from infinity_assets_tests.reading.in_memory import read
from infinity_assets_tests.reading.test_reader import make

ASKED = [{"ask": f"question number {n}", "meta": {"reply": [f"the answer to {n}"]}} for n in range(70)]
PLACES = [{"where": {"x": n, "y": n}} for n in range(3)]


def lines(records: list) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def said(folder: Path, files: dict[str, str]) -> str:
    reading = read(make(folder, files))
    return not_understood(folder.name, reading.decisions.lazy(), reading.quarantine.lazy())


def test_shapes_with_counts_and_the_lines_that_help(tmp_path: Path) -> None:
    page = said(tmp_path / "faq", {"a.jsonl": lines([*ASKED, *PLACES]), "b.json": json.dumps(ASKED)})
    assert "| {ask: text, meta: {reply: list of text}} | 140 | a.jsonl |" in page
    assert "| {where: {x: number, y: number}} | 3 | a.jsonl |" in page
    assert (
        f"For 140 of them, these lines in `source.yaml` make 50 of 50 tried fit:\n\n```yaml\n{GUESSED}\nlayout: alpaca\nfields:"
        in page
    )
    assert "output: meta.reply.0" in page
    assert "For 3 of them, these lines in `source.yaml` are a form to fill in" in page
    assert page.endswith("`infinity sources preview faq`.")


def test_bytes_that_are_no_json_leave_the_count_and_the_command(tmp_path: Path) -> None:
    page = said(tmp_path / "table", {"a.csv": "colour,size\nred,1\nblue,2\n"})
    assert "| {colour: text, size: text} | 2 | a.csv |" in page
    assert "```" not in page
    assert "`infinity sources preview table`" in page


def test_a_source_that_is_understood_has_no_entry(tmp_path: Path) -> None:
    assert said(tmp_path / "sound", {"a.jsonl": lines([{"question": "q", "answer": "a"}]) + "{"}) == ""
