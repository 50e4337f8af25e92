"""Previews show foreign data, which must not control the terminal, and lines for source.yaml that can be copied."""

import io
import json
from pathlib import Path

import yaml
from rich.console import Console

from infinity_assets.reading.guess import find_guess
from infinity_assets.reading.preview import preview
from infinity_assets.report.preview import show, show_lines
from infinity_assets_tests.reading.test_reader import make


def shown(folder: Path, *records: dict, width: int = 100) -> str:
    source = make(folder, {f"{n}.jsonl": json.dumps(record) for n, record in enumerate(records)})
    console = Console(file=io.StringIO(), width=width)
    show(preview(source), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_data_does_not_control_the_terminal(tmp_path: Path) -> None:
    text = shown(
        tmp_path / "evil",
        {"question": "a\x1b[31mb [red]c[/red] d\x07\u202e", "answer": "[bold]"},
        {"\x1b]0;title\x07": "an ask", "note": "\x1b[2J a note"},
        {"question": ["\x1b[2J"], "answer": "x"},
    )
    assert {char for char in text if not char.isprintable()} == {"\n"}
    assert "[red]c[/red]" in text
    assert "[bold]" in text


def test_a_long_text_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    text = shown(tmp_path / "long", {"question": "q", "answer": "BEGIN " + "word " * 5000 + "END"})
    assert "BEGIN" in text
    assert "END" in text
    assert "characters…]" in text
    assert len(text) < 3000


def test_lines_can_be_copied_from_a_narrow_terminal() -> None:
    lines = f"layout: alpaca\nfields:\n  instruction: {'a.' * 60}b\n  output: '[red]{{x}}[/red]'"
    console = Console(file=io.StringIO(), width=40)
    show_lines(lines, console)
    assert console.file.getvalue() == f"\n{lines}\n\n"  # type: ignore[attr-defined]
    assert yaml.safe_load(console.file.getvalue()) == yaml.safe_load(lines)  # type: ignore[attr-defined]


def test_many_similar_files_share_a_line(tmp_path: Path) -> None:
    records = [{"question": f"q {n}", "answer": "a"} for n in range(20)]
    text = shown(tmp_path / "many", *records, {"instruction": "i", "output": "o"})
    assert "0.jsonl and 19 more" in text
    assert "20.jsonl" in text
    assert "question_answer 20" in text


def test_unread_keys_have_counts_a_share_and_an_example(tmp_path: Path) -> None:
    remark = "A remark of many words that no layout of this program reads."
    text = shown(
        tmp_path / "remarks", {"question": "q", "answer": "a", "remark": remark, "is_edited": False}, width=160
    )
    lines = [line for line in text.splitlines() if "question_answer" in line and "100%" in line]
    assert [line.split()[0] for line in lines] == ["remark", "is_edited"]
    assert remark in lines[0]
    assert "False" in lines[1]


def test_a_guess_is_shown_with_three_rows_whether_or_not_it_is_applied(tmp_path: Path) -> None:
    records = [{"Frage": f"Where is item {n}?", "Antwort": f"The item {n} is in the mill."} for n in range(5)]
    source = make(tmp_path / "faq", {"a.jsonl": "".join(f"{json.dumps(record)}\n" for record in records)})
    for applied, use in ((False, "which is not applied"), (True, "are read by a guess;")):
        console = Console(file=io.StringIO(), width=200)
        show(preview(source, rows=0, guess=find_guess(source), apply_guess=applied), console)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert use in text
        assert "Row 3 of 3 by the guess" in text
        assert text.count("  instruction: Frage\n  output: Antwort") == 1
