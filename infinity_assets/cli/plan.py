"""`infinity plan`."""

import atexit
import json
import os
from pathlib import Path

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.locations import data_dir


@click.command()
@click.option("--until", metavar="ASSET", help="Plan what this asset needs, for example inf_instruct_f.")
@click.option(
    "--sample",
    "size",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Rows per asset that models are really asked about.",
)
@click.option("--offline", is_flag=True, help="Make no call: what the response store does not tell is `?`.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write every number to this file."
)
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show a plan that was written with --json beside what was really used since.",
)
@sentences
def plan(until: str | None, size: int, offline: bool, file: Path | None, compare: Path | None) -> None:
    """What the next run would make again and why, and what its model calls would cost.

    \b
    infinity plan                                  the whole graph
    infinity plan --until scored --sample 200      closer, and more calls
    infinity plan --json plan.json && infinity run && infinity plan --compare plan.json

    A sample of rows goes through the graph, in a lake of its own that is thrown away. Its calls are really made and stored, so the run finds them.
    Ranges are of 90 %, from the scatter of the sample.
    """
    from infinity_assets.atomic import write_text
    from infinity_assets.reading.pool import Pool
    from infinity_assets.report.terminal import TerminalReporter, open_console
    from infinity_assets.runs.plan_report import as_json, compare_table, plan_table, recompute_lines, summary
    from infinity_assets.settings import Settings

    console, data = open_console(), data_dir()
    if compare:
        from infinity_assets.runs.observed_cost import used

        planned = json.loads(compare.read_text(encoding="utf-8"))
        console.print(compare_table(planned, used(data, planned)))
        return
    from infinity_assets.progress import reporting_to
    from infinity_assets.runs.planner import Planner

    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))  # as `infinity run` does
    reporter = TerminalReporter(console)
    try:
        with reporting_to(reporter):
            made = Planner(data, Pool.load(data), Settings(), size, offline).make(until)
    finally:
        reporter.stop()
    if not made.reasons:
        console.print("Everything is up to date: a run would make nothing, and no call.")
    if any(asset.rows for asset in made.assets):
        console.print(plan_table(made))
        for line in summary(made):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for title, lines in (("Made again, and why", recompute_lines(made)), ("Uncertain", made.notes)):
        for place, line in enumerate(lines):
            if not place:
                console.print(f"\n{title}", style="bold")
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if file:
        write_text(json.dumps(as_json(made), indent=1, ensure_ascii=False), file)
