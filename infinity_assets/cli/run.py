"""`infinity run`."""

import atexit
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infinity_assets.cli.options import FOLDER
from infinity_assets.cli.sources import fetch_files
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    from infinity_assets.catalog.lake import Lake


@click.command()
@click.option(
    "--sources",
    type=FOLDER,
    help="Folder whose subfolders are the sources. Saved in data/pool.json. Default: data/sources.",
)
@click.option(
    "--benchmarks",
    type=FOLDER,
    help="Folder whose subfolders are the benchmarks. Saved too. Default: data/benchmarks.",
)
@click.option(
    "--only", help="Names of the sources to read, separated by commas. Saved too; `--only ''` reads all again."
)
@click.option("--until", metavar="ASSET", help="Stop after this asset, for example inf_instruct_f.")
@click.option("--force", is_flag=True, help="Materialize everything again. Answers still come from the response store.")
@click.option(
    "--budget",
    metavar="AMOUNT",
    help="Stop before the model calls of this run exceed this budget: `2M` or `500k tokens` (prompt and completion), "
    "`$5` or `5 eur` at the prices in the settings. Answers are kept, and the next run continues.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def run(
    sources: Path | None,
    benchmarks: Path | None,
    only: str | None,
    until: str | None,
    force: bool,
    budget: str | None,
    debug: bool,
) -> None:
    """Register the sources and materialize the graph, in this process.

    Partitions with unchanged inputs, settings and code are reused. To continue a killed run, repeat the command:
    stored answers are not requested again.
    """
    from rich.markup import escape

    from infinity_assets.catalog.funnel import funnel
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.inference.budget import parse
    from infinity_assets.reading.hub import pending_folders
    from infinity_assets.reading.pool import Pool
    from infinity_assets.reading.sources import find_ignored
    from infinity_assets.report.terminal import TerminalReporter, funnel_table, open_console, say
    from infinity_assets.runs.runner import run_graph
    from infinity_assets.settings import Settings

    console = open_console()
    began = time.monotonic()
    data = data_dir()
    allowed = parse(budget) if budget is not None else Settings().calls
    pool = Pool.load(data)
    if sources or only is not None:
        root = sources.absolute() if sources else pool.sources
        pool = pool.model_copy(update={"sources": root}).select(only or "")
    if benchmarks:
        pool = pool.model_copy(update={"benchmarks": benchmarks.absolute()})
    for folder in pending_folders(pool.sources):
        if not pool.only or folder.name in pool.only:
            fetch_files(folder)
    folders = pool.source_folders()
    ignored = {} if pool.only else find_ignored(pool.sources)
    passed_over = "; ".join(f"{name} ({why})" for name, why in ignored.items())
    if not folders:
        raise InfinityError(
            f"{pool.sources} holds no source: put a folder with data there, or `infinity sources add` one."
            + (f" No source: {passed_over}" if ignored else "")
        )
    pool.save(data)
    selection = f" (only {', '.join(pool.only)})" if pool.only else ""
    say(
        console,
        f"{len(folders)} sources in {pool.sources}{selection}, "
        f"{len(pool.benchmark_folders())} benchmarks in {pool.benchmarks}",
    )
    not_read = f"Not read, because they are no sources: {passed_over}"
    if ignored:
        say(console, not_read, "yellow")
    # If vLLM is loaded, DuckDB's bindings report leaks on stderr when the interpreter ends, after all other output.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    with closing(TerminalReporter(console)) as reporter:
        faults = run_graph(data, pool, reporter, until, force, allowed)
    console.print(funnel_table(funnel(data)))
    if ignored:
        say(console, not_read, "yellow")
    for sentence in _warnings(Lake(data), folders, pool.benchmark_folders()):
        say(console, sentence, "yellow")
    for fault in faults:
        status = "[yellow]stopped[/yellow]" if fault.stopped else "[red]failed[/red]"
        console.print(f"{status} {escape(f'{fault.asset}: {fault.sentence}')}", highlight=False, soft_wrap=True)
        if debug:
            console.print(fault.trace, highlight=False, markup=False)
    if faults:
        say(
            console,
            "Finished partitions are kept: run the same command again to continue. --debug shows the traceback.",
        )
        sys.exit(1)
    for asset, name in (("inf_instruct_f", "InfInstruct-F"), ("inf_instruct_g", "InfInstruct-G")):
        file = data / "lake" / asset / "all.parquet"
        if file.exists() and until is None:
            say(console, f"{name}  {file}  and  {data / 'release' / name}.jsonl")
    say(
        console,
        f"{time.monotonic() - began:.0f} s. See the results with `make ui`, `infinity explain ROW`, `infinity sql` "
        f"or {data / 'metadata.duckdb'}",
    )


def _warnings(lake: "Lake", sources: Iterable[str], benchmarks: Iterable[str]) -> Iterator[str]:
    """Yield a sentence about each problem that did not stop the run."""
    from infinity_assets.catalog.failed_calls import describe_failed_calls, describe_words_only
    from infinity_assets.catalog.misread_sources import describe_misread, misread_sources
    from infinity_assets.catalog.reading_report import describe_reading
    from infinity_assets.decontamination.report import describe_flagged
    from infinity_assets.report.unknown_layouts import first_advice
    from infinity_assets.settings import Settings

    settings = Settings()
    yield from describe_reading(lake.data, sources)
    yield from describe_misread(misread_sources(lake.data, settings.ingest.warn_dropped), partial(first_advice, lake))
    yield from describe_failed_calls(lake.data, settings.calls.warn_failed)
    yield from describe_words_only(lake)
    if lake.manifest("contamination"):
        yield from describe_flagged(lake.scan("contamination").collect())
    if lake.manifest("benchmarks"):
        held = lake.scan("benchmarks").select("benchmark").unique().collect()["benchmark"]
        if empty := sorted(set(benchmarks) - set(held)):
            yield f"The benchmarks {', '.join(empty)} have no items, so they detect no contamination."
    selected = lake.manifest("inf_instruct_f")
    if selected and (short := selected.measures.get("shortfall")):
        yield f"InfInstruct-F is {short:,} rows short of its quota; the page of inf_instruct_f has reasons by domain."
