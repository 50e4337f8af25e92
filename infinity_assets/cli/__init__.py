"""The `infinity` command."""

import json
import logging
import os
import warnings

import click

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
from infinity_assets.cli.run import run
from infinity_assets.cli.sources import sources
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir, models_dir


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
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.checks import check_lake
    from infinity_assets.report.terminal import open_console

    console, bad, total = open_console(), 0, 0
    for asset, name, broken in check_lake(Lake(data_dir())):
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
                plain = value if not isinstance(value, tuple) else list(value)
                text = json.dumps(
                    plain,
                    ensure_ascii=False,
                    default=lambda o: o.model_dump(mode="json") if isinstance(o, BaseModel) else str(o),
                )
                click.echo(f"{'  ' * depth}{name}: {text}")

    click.echo(
        "# infinity.yaml: copy what you want to change. The same as a variable: INFINITY_CHAT__SEEDS__MAX_SEEDS=200"
    )
    show(Settings(), 0)


main.add_command(abilities)
main.add_command(arena)
main.add_command(export)
main.add_command(loop)
main.add_command(plan)
main.add_command(responses)
main.add_command(rules)
main.add_command(run)


@main.group()
def models() -> None:
    """The models that the settings name."""


@models.command()
@sentences
def fetch() -> None:
    """Bring the weights of all models in the settings to data/models, checked by hash. What is there costs nothing."""
    from infinity_assets.inference.weights.models import fetch as bring
    from infinity_assets.settings import Settings

    settings = Settings()
    named = settings.models
    specs = [
        named.generator,
        named.of_texts,
        named.tagger,
        named.judge,
        named.scorer,
        *(s.model for s in named.students),
    ]
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
    warnings.filterwarnings(
        "ignore", message="Parameter `backfill_policy`"
    )  # Dagster calls it beta, and says so for every asset


_quiet()
