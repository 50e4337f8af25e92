"""Terminal output of the `infinity` command: progress of steps and tables."""

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from infinity_assets.progress import Course, Expected, Reporter, describe, format_clock

_EVERY = 10.0
"""Seconds between two progress lines about a step, if the output is not a terminal."""


@dataclass
class _Tally:
    """Totals over the finished partitions of an asset."""

    asset: str
    partitions: int = 0
    reused: int = 0
    rows: int = 0
    seconds: float = 0.0
    start_up: float = 0.0


class TerminalReporter(Reporter):
    """Reporter that prints a line per finished asset, or per finished partition if `expect` was not called.

    During a step it shows the rate and the time left for the step and for the run. On a terminal this progress line is
    redrawn; elsewhere it is printed every ten seconds.
    """

    def __init__(self, console: Console):
        self._console = console
        self._course = Course(())
        self._status: Status | None = None
        self._asset = self._name = self._unit = ""
        self._count = 1
        self._began = self._phase_began = self._printed = self._start_up = 0.0
        self._tally = _Tally("")

    def expect(self, assets: Sequence[Expected]) -> None:
        """Register all assets of the run, so that steps can be numbered and the time left can be estimated."""
        self._course = Course(assets)

    def begin(self, asset: str, partition: str, count: int = 1) -> None:
        """Show that a step begins."""
        self._asset, self._count = asset, count
        self._name = asset if partition == "all" else f"{asset} {partition}"
        self._began = self._phase_began = time.monotonic()
        self._start_up = 0.0
        if self._tally.asset != asset:
            self._print_tally()
            self._tally = _Tally(asset)
            self._printed = self._began
        if self._course.includes(asset):
            self._course.step(asset)  # numbers the steps in the order in which they begin
        self._show(self._name)

    @contextmanager
    def show_startup(self, what: str) -> Iterator[None]:
        """Show that `what` is starting up while the `with` block runs. Rates do not include this time."""
        text = f"{self._name + ': ' if self._name else ''}starting {what}"
        self._show(text)
        if not self._console.is_terminal:
            say(self._console, f"         {text}")
        began = time.monotonic()
        yield
        self._phase_began = self._printed = time.monotonic()
        self._start_up += self._phase_began - began
        self._show(self._name)

    def advance(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        """Show how much of the step is done. The rate is measured anew if the unit changes."""
        now = time.monotonic()
        if unit != self._unit:
            self._unit, self._phase_began = unit, now
        text = f"{self._name}: {describe(done, total, unit, now - self._phase_began)}{note}{self._run_progress(now)}"
        if self._console.is_terminal:
            self._show(text)
        elif now - self._printed >= _EVERY:
            self._printed = now
            say(self._console, f"         {text}")

    def end(self, rows: int, reused: bool) -> None:
        """Count the partitions of the finished step, and print a line if they were the asset's last ones."""
        seconds = time.monotonic() - self._began
        self._unit = ""
        tally = self._tally
        tally.partitions += self._count
        tally.reused += self._count if reused else 0
        tally.rows += rows
        tally.seconds += seconds
        tally.start_up += self._start_up
        known = self._course.includes(self._asset)
        if not known or self._course.end(self._asset, self._count, seconds - self._start_up, reused):
            self._print_tally()

    def close(self) -> None:
        """Remove the progress line, so that other output can be printed."""
        self._print_tally()

    def _show(self, text: str) -> None:
        """Redraw the progress line, if the output is a terminal."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status(escape(text))
            self._status.start()
        else:
            self._status.update(escape(text))

    def _run_progress(self, now: float) -> str:
        if not self._course.includes(self._asset):
            return ""
        left = self._course.seconds_left(now - self._began - self._start_up)
        time_left = f", about {format_clock(left)} left" if left >= 1 else ""
        return f"  [run: step {self._course.step(self._asset)} of {self._course.steps}{time_left}]"

    def _print_tally(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
        tally = self._tally
        if not tally.partitions:
            return
        name, number = self._name, "  "
        if self._course.includes(tally.asset):
            name, wanted = tally.asset, self._course.partitions(tally.asset)
            if wanted > 1:
                done = f"{wanted}" if tally.partitions == wanted else f"{tally.partitions} of {wanted}"
                name += f" ({done} partitions)"
            number = f"{self._course.step(tally.asset):>3}/{self._course.steps:<3} "
        took = f"{tally.seconds:6.1f} s"
        if tally.reused == tally.partitions:
            took = "unchanged"
        else:
            work = tally.seconds - tally.start_up
            if work >= 1 and tally.rows > work:
                took += f"  {tally.rows / work:>9,.0f} rows/s"
            if tally.start_up >= 1:
                took += f"  ({tally.start_up:.0f} s of it start-up)"
            if tally.reused:
                took += f"  ({tally.reused} unchanged)"
        dim = "dim" if tally.reused == tally.partitions else None
        self._console.print(
            f"{number}{name:<38} {tally.rows:>9,} rows  {took}", style=dim, highlight=False, markup=False
        )
        self._tally = _Tally("")


def open_console() -> Console:
    """Return a console for standard output. If this is a file or a pipe, it is line-buffered and 140 columns wide."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    console = Console()
    return console if console.is_terminal else Console(width=140)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a text without wrapping, markup or highlighting."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def frame_table(
    title: str, frame: pl.DataFrame, texts: Sequence[str] = (), right: Sequence[str] = (), floats: str = ".3f"
) -> Table:
    """Return a frame as a table. Nulls are blank, and numbers are aligned right.

    The columns `texts` may be wrapped; the columns `right` are texts to align right.
    """
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for name, dtype in frame.schema.items():
        number = dtype.is_numeric() or name in right
        fixed = not number and name not in texts
        table.add_column(escape(name.replace("_", " ")), justify="right" if number else "left", no_wrap=fixed)
    for row in frame.iter_rows():
        table.add_row(*(_cell(value, floats) for value in row))
    return table


def _cell(value: float | str | None, floats: str) -> str:
    if isinstance(value, float):
        return format(value, floats)
    return f"{value:,}" if isinstance(value, int) else escape(value or "")


def funnel_table(funnel: pl.DataFrame) -> Table:
    """Return the result of `catalog.funnel.funnel` as a table."""
    numbers = {name: f"rows_{name}" for name in ("in", "created", "out", "dropped")}
    calls = pl.col("calls").replace(0, None)
    frame = funnel.select("asset", **numbers, **{"model calls": calls, "dropped because": "reasons"})
    return frame_table("Funnel", frame, texts=["dropped because"])


def loop_tables(scores: pl.DataFrame | None, budget: pl.DataFrame) -> Iterator[Table]:
    """Yield the tables of the weak domain loop: scores, turns, budget. `scores` is `None` if they are not materialized."""
    stderr = pl.col("stderr").alias("±")
    if scores is not None and scores.height:
        answered, items = (pl.col(n).map_elements("{:,}".format, pl.String) for n in ("answered", "items"))
        columns = ("model", "role", "benchmark", "domain", pl.format("{} of {}", answered, items).alias("answered"))
        yield frame_table("Scores", scores.select(*columns, "score", stderr, why="error"), ["why"], ["answered"])
    turns = budget.select("domain", "turns").explode("turns").drop_nulls().unnest("turns").sort("turn", "domain")
    if turns.height:
        columns = (pl.col("turn").cast(pl.String), "model", "domain", "score", stderr, "reference", "factor")
        yield frame_table("Turns", turns.select(*columns, pl.col("why").alias("")), [""])
    eased = pl.col("eased").str.strip_chars("{}")
    columns = {"available": "available", "share": "keep_share", "times": "factor", "quota": "quota", "eased": eased}
    yield frame_table("Budget", budget.select("domain", **columns), ["eased"])


def ability_tables(abilities: pl.DataFrame) -> Iterator[Table]:
    """Yield one table per round: the students' scores by ability, from `diagnosis.spread_students`."""
    points = [name for name in abilities.columns if name.startswith("student ")]
    for number in abilities["round"].unique().sort():
        rows = abilities.filter(pl.col("round") == number)
        students = [name for name in points if rows[name].count()]
        taught = ["held_out", "gap_before", "gap_after", "gain"] if rows["gap_after"].count() else []
        columns = rows.select(
            "ability", "rows", "answer_score", "reference_score", *students, "gap", "weak", "weak_share",
            "deficiencies", "seeds", *taught,
        )  # fmt: skip
        stopped = ": the loop stops here" if rows["stop"].any() else ""
        yield frame_table(f"Round {number}{stopped}", columns, floats=".2f")
