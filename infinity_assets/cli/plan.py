"""`infinity plan`."""

import atexit
import json
import os
from contextlib import closing
from pathlib import Path

import click

from infinity_assets.cli.options import FILE, NEW_FILE
from infinity_assets.locations import data_dir


@click.command()
@click.option("--until", metavar="ASSET", help="Plan a run up to this asset, for example inf_instruct_f.")
@click.option(
    "--sample",
    "size",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Rows per asset for which models are called.",
)
@click.option(
    "--offline", is_flag=True, help="Make no model calls: numbers that the response store does not hold are `?`."
)
@click.option("--json", "file", type=NEW_FILE, help="Write every number to this file.")
@click.option("--compare", type=FILE, help="Compare a plan that was written with --json with the usage since.")
def plan(until: str | None, size: int, offline: bool, file: Path | None, compare: Path | None) -> None:
    """Show the assets that the next run would materialize, the reasons, and the cost of its model calls.

    \b
    infinity plan                                  the whole graph
    infinity plan --until scored --sample 200      a larger sample: more precise, but more calls
    infinity plan --json plan.json && infinity run && infinity plan --compare plan.json

    The plan runs the graph on a sample of rows, in a temporary lake. The model calls of the sample are made and their
    answers are stored, so the next run reuses them. Ranges are 90 % intervals, computed from the sample.
    """
    from infinity_assets.atomic import write_text
    from infinity_assets.reading.pool import Pool
    from infinity_assets.report.terminal import TerminalReporter, open_console, say
    from infinity_assets.runs.plan_report import as_json, compare_table, plan_table, recompute_lines, summary
    from infinity_assets.settings import Settings

    console, data = open_console(), data_dir()
    if compare:
        from infinity_assets.runs.observed_cost import actual_usage

        planned = json.loads(compare.read_text(encoding="utf-8"))
        console.print(compare_table(planned, actual_usage(data, planned)))
        return
    from infinity_assets.progress import use_reporter
    from infinity_assets.runs.planner import Planner

    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))  # see `infinity run`
    with closing(TerminalReporter(console)) as reporter, use_reporter(reporter):
        planned = Planner(data, Pool.load(data), Settings(), size, offline).make(until)
    if not planned.reasons:
        console.print("Everything is up to date: a run would materialize nothing and call no model.")
    if any(asset.rows for asset in planned.assets):
        console.print(plan_table(planned))
        for line in summary(planned):
            say(console, line)
    for title, lines in (("To be materialized, and why", list(recompute_lines(planned))), ("Uncertain", planned.notes)):
        if lines:
            console.print(f"\n{title}", style="bold")
        for line in lines:
            say(console, f"  {line}")
    if file:
        write_text(json.dumps(as_json(planned), indent=1, ensure_ascii=False), file)
