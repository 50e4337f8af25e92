import io

import polars as pl
import pytest
from rich.console import Console

from infinity_assets.progress import Expected
from infinity_assets.report.terminal import TerminalReporter, funnel_table


def test_every_finished_partition_has_a_line() -> None:
    reporter, console = shown()
    for partition, reused in (("all", True), ("shard-01", False)):
        reporter.begin("deduped", partition)
        reporter.advance(1, 2, "rows")
        reporter.end(1234, reused)
    first, second = lines(console)
    assert first.split() == ["deduped", "1,234", "rows", "unchanged"]
    assert second.split()[:4] == ["deduped", "shard-01", "1,234", "rows"]


def test_brackets_in_a_name_are_not_markup() -> None:
    for terminal in (False, True):
        reporter, console = shown(terminal)
        reporter.begin("raw_pool", "alpaca[en]")
        reporter.advance(1, 2, "rows")
        reporter.end(2, reused=False)
        assert "raw_pool alpaca[en]" in console.file.getvalue()  # type: ignore[attr-defined]


def shown(terminal: bool = False) -> tuple[TerminalReporter, Console]:
    console = Console(file=io.StringIO(), width=140, force_terminal=terminal)
    return TerminalReporter(console), console


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_run_has_a_numbered_line_per_asset() -> None:
    reporter, console = shown()
    reporter.expect([Expected("raw_pool", 2, 1.0), Expected("deduped", 4, 1.0), Expected("tagged", 2, 9.0)])
    for partition, rows in (("one", 3), ("two", 4)):
        reporter.begin("raw_pool", partition)
        reporter.end(rows, reused=partition == "one")
    reporter.begin("deduped", "shard-00 to shard-03", 4)
    reporter.end(1234, reused=True)
    reporter.begin("tagged", "shard-00")
    reporter.end(5, reused=False)
    assert len(lines(console)) == 2, "an asset with unfinished partitions has no line yet"
    reporter.close()
    first, second, third = (" ".join(line.split()) for line in lines(console))
    assert first == "1/3 raw_pool (2 partitions) 7 rows 0.0 s (1 unchanged)"
    assert second == "2/3 deduped (4 partitions) 1,234 rows unchanged"
    assert third.startswith("3/3 tagged (1 of 2 partitions)")


def test_a_rate_does_not_count_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("infinity_assets.report.terminal.time.monotonic", lambda: now[0])
    reporter, console = shown()
    reporter.expect([Expected("tagged", 1, 40.0), Expected("scored", 1, 60.0)])
    reporter.begin("tagged", "all")
    with reporter.show_startup("vllm with a-model"):
        now[0] += 30
    reporter.advance(0, 100, "rows")
    now[0] += 10
    reporter.advance(50, 100, "rows")
    now[0] += 10
    reporter.end(100, reused=False)
    started, progress, last = lines(console)
    assert started.strip() == "tagged: starting vllm with a-model"
    assert "50 of 100 rows, 5.0/s, 0:10 left  [run: step 1 of 2, about 1:30 left]" in progress
    assert " ".join(last.split()) == "1/2 tagged 100 rows 50.0 s 5 rows/s (30 s of it start-up)"


def test_a_terminal_shows_the_progress_of_step_and_run() -> None:
    reporter, console = shown(terminal=True)
    reporter.expect([Expected("tagged", 1, 40.0)])
    reporter.begin("tagged", "all")
    reporter.advance(3, 10, "[bold]rows[/bold]")
    reporter.close()
    assert "3 of 10 [bold]rows[/bold]" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "[run: step 1 of 1" in console.file.getvalue()  # type: ignore[attr-defined]


def test_null_counts_are_blank_in_the_funnel() -> None:
    console = shown()[1]
    numbers = {"rows_in": None, "rows_created": None, "rows_out": 1200, "rows_dropped": None, "calls": 0}
    console.print(funnel_table(pl.DataFrame([{"asset": "scored", **numbers, "reasons": None}])))
    assert lines(console)[-1].split() == ["scored", "│", "│", "│", "1,200", "│", "│", "│"]
