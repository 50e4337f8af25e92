"""The `infinity` command."""

import json
import logging
import os
import warnings
from typing import Any

import click

from infinity_assets.cli.abilities import abilities
from infinity_assets.cli.arena import arena
from infinity_assets.cli.export import export
from infinity_assets.cli.init import init
from infinity_assets.cli.labels import labels
from infinity_assets.cli.loop import loop
from infinity_assets.cli.plan import plan
from infinity_assets.cli.prompts import prompts
from infinity_assets.cli.responses import responses
from infinity_assets.cli.rules import rules
from infinity_assets.cli.run import run
from infinity_assets.cli.sources import sources
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir, models_dir

for library in ("dagster", "httpx", "sentence_transformers", "transformers"):
    logging.getLogger(library).setLevel(logging.ERROR)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Dagster warns for every asset that this parameter is in beta.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")


class Commands(click.Group):
    """Group of commands. An error that a user can fix becomes one sentence on stderr and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (InfinityError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="infinity-assets")
def main() -> None:
    """Curate instruction data: from raw folders to InfInstruct-F and InfInstruct-G.

    \b
    infinity run                         the whole graph, on data/sources
    infinity run --sources ~/datasets    on other folders
    infinity plan                        what the next run would materialize, and the cost of its model calls
    infinity explain 3fa9                origins, decisions and model calls of the row whose id begins with 3fa9
    infinity arena --size 1000           compare selectors on the same rows
    infinity funnel                      number of rows in, out and dropped, per asset
    infinity rules                       counts of rows failing each rule of F; `infinity rules show NAME` lists rows
    infinity sql "select * from decisions limit 5"

    All data is in the folder INFINITY_DATA (default: ./data). Settings come from infinity.yaml and INFINITY_*
    variables; `infinity settings` lists them.
    """


@main.command()
@click.argument("row")
def explain(row: str) -> None:
    """Show the history of a row: its origins, the decisions on it, its model calls, and the rows made from it.

    ROW is a row id or its first digits. `infinity sql "select row_id from inf_instruct_g limit 3"` shows some row ids.
    """
    from infinity_assets.catalog.explain import explain as story

    click.echo(story(data_dir(), row))


@main.command()
@click.argument("row")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="Number of records to list.")
def duplicates(row: str, limit: int) -> None:
    """Show a cluster of duplicates: the row that was kept and the records that were dropped, with their similarity.

    ROW is the id, or its first digits, of any row in the cluster.
    """
    from infinity_assets.catalog.cluster import describe_cluster

    click.echo(describe_cluster(data_dir(), row, limit))


@main.command()
def funnel() -> None:
    """Show the flow of rows through each asset: rows in, created and out, and rows dropped, with the reasons.

    The numbers of rows are those of the latest materialization; the model calls are those of all materializations.
    """
    from infinity_assets.catalog.funnel import funnel as lines
    from infinity_assets.report.terminal import funnel_table, open_console

    open_console().print(funnel_table(lines(data_dir())))


@main.command()
@click.argument("query")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def sql(query: str, as_json: bool) -> None:
    """Query the metadata and the rows with SQL (DuckDB).

    The views are materializations, decisions, edges, origins, annotations, quarantine, files, keys, generations, and one
    per asset, of the asset's name.
    """
    import duckdb
    import polars as pl

    from infinity_assets.catalog.views import connect

    with connect(data_dir()) as views:
        try:
            answer = views.sql(query)
            if answer is None:  # the query is empty
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
@click.option("--quiet", is_flag=True, help="Show only broken invariants and a summary.")
def check(quiet: bool) -> None:
    """Check the invariants of the lake.

    They are conservation of rows, accounting of files, grammar, unique ids, decontamination, lineage and licenses.
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.checks import check_lake
    from infinity_assets.report.terminal import open_console

    console = open_console()
    bad = total = 0
    for asset, name, broken in check_lake(Lake(data_dir())):
        total += 1
        if broken.height:
            bad += 1
            console.print(f"[red]broken[/red]  {asset}: {name}", highlight=False)
            console.print(broken.head(5))
        elif not quiet:
            console.print(f"holds   {asset}: {name}", highlight=False)
    if bad:
        raise InfinityError(f"{bad} of {total} invariants are broken.")
    console.print(f"All {total} invariants hold.", highlight=False)


@main.command()
def settings() -> None:
    """Print all settings in force and their documentation, as YAML for infinity.yaml."""
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    from infinity_assets.settings import Settings

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
                text = json.dumps(value, ensure_ascii=False, default=to_jsonable_python)
                click.echo(f"{'  ' * depth}{name}: {text}")

    click.echo(
        "# Copy the settings to change into infinity.yaml, or set a variable: INFINITY_CHAT__SEEDS__MAX_SEEDS=200"
    )
    show(Settings(), 0)


for command in (abilities, arena, export, init, labels, loop, plan, prompts, responses, rules, run, sources):
    main.add_command(command)


@main.group()
def models() -> None:
    """Manage the models in the settings."""


@models.command()
def fetch() -> None:
    """Download missing weights of the models in the settings to INFINITY_MODELS (default: data/models)."""
    from infinity_assets.inference.weights.models import fetch as download
    from infinity_assets.settings import Settings
    from infinity_assets.settings.models import list_specs

    for spec in list_specs(Settings()):
        if getattr(spec, "backend", "") != "openai":
            click.echo(f"{spec.model}  {download(spec, models_dir())}")
