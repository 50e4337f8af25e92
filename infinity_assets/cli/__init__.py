"""The `infinity` command."""

import atexit
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

import click
from rich.markup import escape

from infinity_assets.cli.abilities import abilities
from infinity_assets.cli.arena import arena
from infinity_assets.cli.errors import sentences
from infinity_assets.cli.export import export
from infinity_assets.cli.labels import labels
from infinity_assets.cli.loop import loop
from infinity_assets.cli.plan import plan
from infinity_assets.cli.prompts import prompts
from infinity_assets.cli.responses import responses
from infinity_assets.cli.rules import rules
from infinity_assets.cli.sources import bring, sources
from infinity_assets.errors import InfinityError
from infinity_assets.settings import Settings, data_dir, models_dir


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="infinity-assets")
def main() -> None:
    """Instruction data, from raw folders to InfInstruct-F and InfInstruct-G.

    \b
    infinity run                         the whole graph, on data/sources
    infinity run --sources ~/datasets    on other folders
    infinity plan                        what a run would make again, and what its model calls would cost
    infinity explain 3fa9                the story of the row whose id begins with 3fa9
    infinity arena --size 1000           selectors on the same rows, side by side
    infinity funnel                      rows in, out and dropped, per asset
    infinity rules                       what each rule leaves out of F; `infinity rules show NAME` shows rows
    infinity sql "select * from decisions limit 5"

    Everything lies under INFINITY_DATA (default: ./data). Settings come from infinity.yaml and INFINITY_* variables: `infinity settings`.
    """


@main.command()
@click.option(
    "--sources",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose subfolders are the sources. Remembered in data/pool.json. Default: data/sources.",
)
@click.option(
    "--benchmarks",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose subfolders are the evaluation sets. Remembered too. Default: data/benchmarks.",
)
@click.option("--only", help="Names of the sources to take, separated by commas. Remembered too; `--only ''` takes all again.")
@click.option("--until", metavar="ASSET", help="Stop when this asset is made, for example inf_instruct_f.")
@click.option("--force", is_flag=True, help="Make everything anew. Answers of models are still taken from the response store.")
@click.option(
    "--budget",
    metavar="AMOUNT",
    help="Stop before the model calls of this run have used more: `2M` or `500k tokens` (prompt and completion together), `$5` or `5 eur` by the "
    "prices in the settings. What was answered is kept, and the next run goes on from there.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@sentences
def run(
    sources: Path | None, benchmarks: Path | None, only: str | None, until: str | None, force: bool, budget: str | None, debug: bool
) -> None:
    """Register the sources and materialise the graph, in this process.

    What did not change since the last run is reused: same inputs, settings and code give the same rows. A run that was killed goes on
    where it was; answers of models that were stored are not asked again.
    """
    from infinity_assets.catalog import failed_calls
    from infinity_assets.catalog.funnel import funnel
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.catalog.pool import Pool
    from infinity_assets.catalog.understood import misread, sentences
    from infinity_assets.decontamination.report import flagged
    from infinity_assets.defs.runner import Runner
    from infinity_assets.inference.budget import parse
    from infinity_assets.report.terminal import TerminalReporter, funnel_table, open_console
    from infinity_assets.rows.hub import waiting

    console, began, data = open_console(), time.monotonic(), data_dir()
    allowed = parse(budget) if budget is not None else Settings().calls
    pool = Pool.load(data)
    if sources or only is not None:
        chosen = sources.absolute() if sources else pool.sources
        pool = pool.model_copy(update={"sources": chosen, "only": tuple(name.strip() for name in only.split(",")) if only else ()})
    if benchmarks:
        pool = pool.model_copy(update={"benchmarks": benchmarks.absolute()})
    for folder in waiting(pool.sources):
        if not pool.only or folder.name in pool.only:
            bring(folder)
    folders = pool.source_folders()
    if not folders:
        raise InfinityError(f"{pool.sources} holds no source: put a folder with data there, or `infinity sources add` one.")
    pool.save(data)
    some = f" (only {', '.join(pool.only)})" if pool.only else ""
    console.print(
        f"{len(folders)} sources in {pool.sources}{some}, {len(pool.benchmark_folders())} benchmarks in {pool.benchmarks}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    # DuckDB's bindings report leaks on stderr when the interpreter ends while vLLM is loaded, after everything of ours has been said.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    reporter = TerminalReporter(console)
    runner = Runner(data, pool, reporter)
    try:
        faults = runner.run(until=until, force=force, budget=allowed)
    finally:
        reporter.stop()
    console.print(funnel_table(funnel(data)))
    for sentence in sentences(misread(data, Settings().ingest.warn_dropped)):
        console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    for sentence in failed_calls.sentences(data, Settings().calls.warn_failed):
        console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    if Lake(data).manifest("contamination"):
        for sentence in flagged(Lake(data).scan("contamination").collect()):
            console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)
    if Lake(data).manifest("benchmarks"):
        held = Lake(data).scan("benchmarks").select("benchmark").unique().collect()["benchmark"]
        if empty := sorted(set(pool.benchmark_folders()) - set(held)):
            console.print(
                escape(f"No item was found in the benchmarks {', '.join(empty)}: they guard against nothing."),
                style="yellow", highlight=False, soft_wrap=True,
            )  # fmt: skip
    selected = Lake(data).manifest("inf_instruct_f")
    if selected and (short := selected.measures.get("shortfall")):
        console.print(
            f"InfInstruct-F is {short:,} rows short of its quota: the page of inf_instruct_f says why, by domain.",
            style="yellow", highlight=False, soft_wrap=True,
        )  # fmt: skip
    if faults:
        for fault in faults:
            said = "[yellow]stopped[/yellow]" if fault.stopped else "[red]failed[/red]"
            console.print(f"{said} {escape(f'{fault.asset}: {fault.sentence}')}", highlight=False, soft_wrap=True)
            if debug:
                console.print(fault.trace, highlight=False, markup=False)
        console.print("What was finished is kept: run the same command again to go on. --debug shows the traceback.", highlight=False)
        sys.exit(1)
    for asset, name in (("inf_instruct_f", "InfInstruct-F"), ("inf_instruct_g", "InfInstruct-G")):
        file = data / "lake" / asset / "all.parquet"
        if file.exists() and until is None:
            console.print(f"{name}  {file}  and  {data / 'release' / name}.jsonl", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{time.monotonic() - began:.0f} s. Look at it: `make ui`, `infinity explain ROW`, `infinity sql`, {data / 'metadata.duckdb'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@main.command()
@click.argument("row")
@sentences
def explain(row: str) -> None:
    """The story of a row: where it was read, every decision and model call, what became of it.

    ROW is a row id or its first digits. `infinity sql "select row_id from inf_instruct_g limit 3"` shows some.
    """
    from infinity_assets.catalog.explain import explain as story

    click.echo(story(data_dir(), row))


@main.command()
@click.argument("row")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="Records to list.")
@sentences
def duplicates(row: str, limit: int) -> None:
    """The cluster of duplicates that a row is in: the row that was kept, and what lost to it, with method and similarity.

    ROW is the id, or its first digits, of the survivor or of any that lost.
    """
    from infinity_assets.catalog.cluster import cluster

    click.echo(cluster(data_dir(), row, limit))


@main.command()
@sentences
def funnel() -> None:
    """Rows in, created, out and dropped by reason, per asset, as of the latest materialisations."""
    from infinity_assets.catalog.funnel import funnel as lines
    from infinity_assets.report.terminal import funnel_table, open_console

    open_console().print(funnel_table(lines(data_dir())))


@main.command()
@click.argument("query")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@sentences
def sql(query: str, as_json: bool) -> None:
    """Query the metadata and the rows with DuckDB's SQL.

    Views: materializations, decisions, edges, origins, generations, and every asset by its name.
    """
    import duckdb
    import polars as pl

    from infinity_assets.catalog.views import connect

    with connect(data_dir()) as views:
        try:
            answer = views.sql(query)
            if answer is None:  # nothing was asked
                return
            frame = answer.pl()
        except duckdb.Error as error:
            raise InfinityError(str(error).splitlines()[0]) from error
    if as_json:
        click.echo(frame.write_ndjson(), nl=False)
    else:
        with pl.Config(tbl_rows=50, tbl_cols=30, fmt_str_lengths=80, tbl_width_chars=200):
            click.echo(frame)


@main.command()
@click.option("--quiet", is_flag=True, help="Show only what is broken, and a last line.")
@sentences
def check(quiet: bool) -> None:
    """Check the invariants of the whole lake: conservation, files accounted for, grammar, unique ids, decontamination, lineage, licences."""
    from infinity_assets.catalog.invariants import check_all
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.report.terminal import open_console

    console, bad, total = open_console(), 0, 0
    for asset, name, broken in check_all(Lake(data_dir())):
        bad, total = bad + bool(broken.height), total + 1
        if broken.height or not quiet:
            console.print(f"{'[red]broken[/red]' if broken.height else 'holds '}  {asset}: {name}", highlight=False)
        if broken.height:
            console.print(broken.head(5))
    if bad:
        raise InfinityError(f"{bad} of {total} invariants are broken.")
    console.print(f"All {total} invariants hold.", highlight=False)


@main.command()
@sentences
def settings() -> None:
    """Every setting in force, with its documentation."""
    from pydantic import BaseModel

    def show(section: BaseModel, depth: int) -> None:
        for name, info in type(section).model_fields.items():
            value = getattr(section, name)
            if info.description:
                for line in info.description.splitlines():
                    click.echo(f"{'  ' * depth}# {line.strip()}")
            if isinstance(value, BaseModel):
                click.echo(f"{'  ' * depth}{name}:")
                show(value, depth + 1)
            else:
                plain = value if not isinstance(value, tuple) else list(value)
                text = json.dumps(
                    plain, ensure_ascii=False, default=lambda o: o.model_dump(mode="json") if isinstance(o, BaseModel) else str(o)
                )
                click.echo(f"{'  ' * depth}{name}: {text}")

    click.echo("# infinity.yaml: copy what you want to change. The same as a variable: INFINITY_CHAT__SEEDS__MAX_SEEDS=200")
    show(Settings(), 0)


main.add_command(abilities)
main.add_command(arena)
main.add_command(export)
main.add_command(loop)
main.add_command(plan)
main.add_command(responses)
main.add_command(rules)


@main.group()
def models() -> None:
    """The models that the settings name."""


@models.command()
@sentences
def fetch() -> None:
    """Bring the weights of all models in the settings to data/models, checked by hash. What is there costs nothing."""
    from infinity_assets.inference.weights.models import fetch as bring

    settings = Settings()
    named = settings.models
    specs = [named.generator, named.of_texts, named.tagger, named.judge, named.scorer, *(s.model for s in named.students)]
    specs += [settings.foundation.loop.model, named.embedder, settings.semantic_embedder, settings.scoring.embedder]
    specs += [named.reward] if named.reward else []
    for spec in {spec.identity: spec for spec in specs if getattr(spec, "backend", "") != "openai"}.values():
        click.echo(f"{spec.model}  {bring(spec, models_dir(), click.echo)}")


main.add_command(sources)
main.add_command(prompts)
main.add_command(labels)


def _quiet() -> None:
    """Leave the terminal to our own lines."""
    for name in ("dagster", "httpx", "sentence_transformers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")  # Dagster calls it beta, and says so for every asset


_quiet()
