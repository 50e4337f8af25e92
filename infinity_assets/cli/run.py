"""`infinity run`."""

import atexit
import os
import sys
import time
from pathlib import Path

import click

from infinity_assets.cli.errors import report_errors
from infinity_assets.cli.sources import fetch_files
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir


@click.command()
@click.option(
    "--sources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose subfolders are the sources. Saved in data/pool.json. Default: data/sources.",
)
@click.option(
    "--benchmarks",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
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
@report_errors
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

    Partitions with unchanged inputs, settings and code are reused. A killed run can be continued with the same command;
    stored answers are not requested again.
    """
    from rich.markup import escape

    from infinity_assets.catalog import failed_calls
    from infinity_assets.catalog.funnel import funnel
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.catalog.misread_sources import describe_misread, misread_sources
    from infinity_assets.decontamination.report import describe_flagged
    from infinity_assets.inference.budget import parse
    from infinity_assets.reading.hub import pending_folders
    from infinity_assets.reading.pool import Pool
    from infinity_assets.report.terminal import TerminalReporter, funnel_table, open_console
    from infinity_assets.runs.runner import Runner
    from infinity_assets.settings import Settings

    console = open_console()
    began = time.monotonic()
    data = data_dir()
    allowed = parse(budget) if budget is not None else Settings().calls
    pool = Pool.load(data)
    if sources or only is not None:
        root = sources.absolute() if sources else pool.sources
        pool = pool.model_copy(
            update={"sources": root, "only": tuple(name.strip() for name in only.split(",")) if only else ()}
        )
    if benchmarks:
        pool = pool.model_copy(update={"benchmarks": benchmarks.absolute()})
    for folder in pending_folders(pool.sources):
        if not pool.only or folder.name in pool.only:
            fetch_files(folder)
    folders = pool.source_folders()
    if not folders:
        raise InfinityError(
            f"{pool.sources} holds no source: put a folder with data there, or `infinity sources add` one."
        )
    pool.save(data)
    selection = f" (only {', '.join(pool.only)})" if pool.only else ""
    console.print(
        f"{len(folders)} sources in {pool.sources}{selection}, "
        f"{len(pool.benchmark_folders())} benchmarks in {pool.benchmarks}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    # DuckDB's bindings report leaks on stderr when the interpreter ends while vLLM is loaded, after all our output.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    reporter = TerminalReporter(console)
    runner = Runner(data, pool, reporter)
    try:
        faults = runner.run(until=until, force=force, budget=allowed)
    finally:
        reporter.stop()
    console.print(funnel_table(funnel(data)))
    for sentence in describe_misread(misread_sources(data, Settings().ingest.warn_dropped)):
        console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    for sentence in failed_calls.describe_failed_calls(data, Settings().calls.warn_failed):
        console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    if Lake(data).manifest("contamination"):
        for sentence in describe_flagged(Lake(data).scan("contamination").collect()):
            console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    if Lake(data).manifest("benchmarks"):
        held = Lake(data).scan("benchmarks").select("benchmark").unique().collect()["benchmark"]
        if empty := sorted(set(pool.benchmark_folders()) - set(held)):
            console.print(
                escape(f"The benchmarks {', '.join(empty)} have no items, so they detect no contamination."),
                style="yellow", highlight=False, soft_wrap=True,
            )  # fmt: skip
    selected = Lake(data).manifest("inf_instruct_f")
    if selected and (short := selected.measures.get("shortfall")):
        console.print(
            f"InfInstruct-F is {short:,} rows short of its quota; the page of inf_instruct_f has reasons by domain.",
            style="yellow", highlight=False, soft_wrap=True,
        )  # fmt: skip
    if faults:
        for fault in faults:
            status = "[yellow]stopped[/yellow]" if fault.stopped else "[red]failed[/red]"
            console.print(f"{status} {escape(f'{fault.asset}: {fault.sentence}')}", highlight=False, soft_wrap=True)
            if debug:
                console.print(fault.trace, highlight=False, markup=False)
        console.print(
            "Finished partitions are kept: run the same command again to continue. --debug shows the traceback.",
            highlight=False,
        )
        sys.exit(1)
    for asset, name in (("inf_instruct_f", "InfInstruct-F"), ("inf_instruct_g", "InfInstruct-G")):
        file = data / "lake" / asset / "all.parquet"
        if file.exists() and until is None:
            console.print(
                f"{name}  {file}  and  {data / 'release' / name}.jsonl", highlight=False, markup=False, soft_wrap=True
            )
    console.print(
        f"{time.monotonic() - began:.0f} s. See the results with `make ui`, `infinity explain ROW`, `infinity sql` "
        f"or {data / 'metadata.duckdb'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
