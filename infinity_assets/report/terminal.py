"""What the `infinity` command shows: steps as they go, the funnel at the end."""

import io
import sys
import time
from collections.abc import Iterator

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from infinity_assets.progress import describe

_EVERY = 10.0
"""Seconds between two lines about the same step where there is no terminal to redraw."""


class TerminalReporter:
    """One line per finished step; while it runs, its rate and time left: redrawn on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console):
        self._console = console
        self._status: Status | None = None
        self._name = self._unit = ""
        self._began = self._phase_began = self._printed = 0.0

    def begin(self, asset: str, partition: str) -> None:
        """Show the step."""
        self._name = asset if partition == "all" else f"{asset} {partition}"
        self._began = self._phase_began = self._printed = time.monotonic()
        if self._console.is_terminal:
            self._status = self._console.status(escape(self._name))
            self._status.start()

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Show how far it is. A new unit begins a new count."""
        now = time.monotonic()
        if unit != self._unit:
            self._unit, self._phase_began = unit, now
        text = f"{self._name}: {describe(done, total, unit, now - self._phase_began)}{note}"
        if self._status:
            self._status.update(escape(text))
        elif now - self._printed >= _EVERY:
            self._printed = now
            self._console.print(f"    {text}", highlight=False, markup=False)

    def end(self, rows: int, reused: bool) -> None:
        """Leave a line behind."""
        if self._status:
            self._status.stop()
            self._status = None
        seconds = time.monotonic() - self._began
        self._unit = ""
        took = "unchanged" if reused else f"{seconds:6.1f} s{f'  {rows / seconds:>9,.0f} rows/s' if rows > seconds > 0.05 else ''}"
        self._console.print(f"  {self._name:<34} {rows:>9,} rows  {took}", style="dim" if reused else None, highlight=False, markup=False)

    def stop(self) -> None:
        """Clear what is being redrawn, before something else is printed."""
        if self._status:
            self._status.stop()
            self._status = None


def open_console() -> Console:
    """The terminal; wide enough for the tables, and written line by line, where the output is a file or a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    console = Console()
    return console if console.is_terminal else Console(width=140)


def funnel_table(funnel: pl.DataFrame) -> Table:
    """The funnel as a table."""
    shown = Table(title="Funnel", title_justify="left", show_edge=False, pad_edge=False)
    shown.add_column("asset", no_wrap=True)
    for column in ("in", "created", "out", "dropped"):
        shown.add_column(column, justify="right")
    shown.add_column("model calls", justify="right")
    shown.add_column("dropped because")
    for row in funnel.iter_rows(named=True):
        numbers = ["" if row[c] is None else f"{row[c]:,}" for c in ("rows_in", "rows_created", "rows_out", "rows_dropped")]
        shown.add_row(row["asset"], *numbers, f"{row['calls']:,}" if row["calls"] else "", row["reasons"] or "")
    return shown


def loop_tables(scores: pl.DataFrame | None, budget: pl.DataFrame) -> Iterator[Table]:
    """The weak-domain loop as tables: scores, turns, budgets.

    Args:
        scores: Rows of `domain_scores`, if there are any.
        budget: Rows of `domain_budget`.
    """
    if scores is not None and scores.height:
        shown = _plain_table("Scores", ("model", "role", "benchmark", "domain"), ("answered", "score", "±"), ("why",))
        for row in scores.iter_rows(named=True):
            answered = "" if row["answered"] is None else f"{row['answered']:,} of {row['items']:,}"
            numbers = [answered, *("" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "stderr"))]
            shown.add_row(row["model"], row["role"], row["benchmark"], row["domain"] or "", *numbers, escape(row["error"] or ""))
        yield shown
    turns = budget.select("domain", "turns").explode("turns").drop_nulls().unnest("turns").sort("turn", "domain")
    if turns.height:
        shown = _plain_table("Turns", ("turn", "model", "domain"), ("score", "±", "reference", "factor"), ("",))
        for row in turns.iter_rows(named=True):
            numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "stderr", "reference", "factor")]
            shown.add_row(str(row["turn"]), row["model"] or "", row["domain"], *numbers, escape(row["why"]))
        yield shown
    shown = _plain_table("Budget", ("domain",), ("available", "share", "times", "quota"), ("eased",))
    for row in budget.iter_rows(named=True):
        shown.add_row(
            row["domain"], f"{row['available']:,}", f"{row['keep_share']:.3f}", f"{row['factor']:.3f}", f"{row['quota']:,}",
            escape(row["eased"].strip("{}")),
        )  # fmt: skip
    yield shown


def ability_tables(abilities: pl.DataFrame) -> Iterator[Table]:
    """What the students can do, a table per round.

    Args:
        abilities: Rows of `abilities`, with a column per student as `diagnosis.wide` gives it.
    """
    points = [name for name in abilities.columns if name.startswith("student ")]
    for number in abilities["round"].unique().sort():
        here = abilities.filter(pl.col("round") == number)
        students = [name for name in points if here[name].count()]
        taught = ["held_out", "gap_before", "gap_after", "gain"] if here["gap_after"].count() else []
        columns = ["rows", "answer_score", "reference_score", *students, "gap", "weak", "weak_share", "deficiencies", "seeds", *taught]
        stopped = ": the loop stops here" if here["stop"].any() else ""
        shown = _plain_table(f"Round {number}{stopped}", ("ability",), tuple(escape(name.replace("_", " ")) for name in columns), ())
        for row in here.iter_rows(named=True):
            shown.add_row(escape(row["ability"]), *(_number(row[name]) for name in columns))
        yield shown


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _plain_table(title: str, words: tuple[str, ...], numbers: tuple[str, ...], sentences: tuple[str, ...]) -> Table:
    shown = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name in words:
        shown.add_column(name, no_wrap=True)
    for name in numbers:
        shown.add_column(name, justify="right")
    for name in sentences:
        shown.add_column(name)
    return shown
