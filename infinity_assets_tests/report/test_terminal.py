import io

import polars as pl
from rich.console import Console

from infinity_assets.report.terminal import TerminalReporter, funnel_table


def test_a_line_per_finished_step() -> None:
    console = Console(file=io.StringIO(), width=120)
    reporter = TerminalReporter(console)
    for partition, reused in (("all", True), ("shard-01", False)):
        reporter.begin("deduped", partition)
        reporter.advance(1, 2, "rows")
        reporter.end(1234, reused)
    first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.split() == ["deduped", "1,234", "rows", "unchanged"]
    assert second.split()[:4] == ["deduped", "shard-01", "1,234", "rows"]


def test_the_funnel_leaves_blank_what_an_asset_does_not_count() -> None:
    console = Console(file=io.StringIO(), width=120)
    columns = {
        "asset": "scored",
        "rows_in": None,
        "rows_created": None,
        "rows_out": 1200,
        "rows_dropped": None,
        "calls": 0,
        "reasons": None,
    }
    console.print(funnel_table(pl.DataFrame([columns])))
    assert console.file.getvalue().splitlines()[-1].split() == ["scored", "│", "│", "│", "1,200", "│", "│", "│"]  # type: ignore[attr-defined]
