"""`infinity rules`."""

import math
from typing import TYPE_CHECKING

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.settings.foundation import Rules


@click.group(invoke_without_command=True)
@click.pass_context
@sentences
def rules(context: click.Context) -> None:
    """What each rule leaves out of InfInstruct-F: rows judged, failing, failing by it alone, and failing by domain.

    Counted from `measured` and `scored` under the settings in force; nothing is made again. Thresholds: `foundation.rules` in the settings.
    """
    from infinity_assets.settings import Settings

    if context.invoked_subcommand:
        return
    from infinity_assets.report.rule_tables import table
    from infinity_assets.report.terminal import open_console
    from infinity_assets.selection.rules.counts import counts

    settings = Settings().foundation.rules
    open_console().print(table(counts(_facts(_lake(), settings), settings)))


@rules.command()
@click.argument("name")
@click.option(
    "--rows", default=5, show_default=True, type=click.IntRange(1), help="Rows on each side of the threshold."
)
@click.option(
    "--threshold", type=float, help="Say what this threshold would do, and show the rows on both sides of it."
)
@sentences
def show(name: str, rows: int, threshold: float | None) -> None:
    """The rows nearest to the threshold of rule NAME, on both of its sides.

    \b
    infinity rules show refusal --rows 10
    infinity rules show answer_too_long --threshold 8000
    """
    import polars as pl

    from infinity_assets.report.rule_tables import lines, texts
    from infinity_assets.report.terminal import open_console
    from infinity_assets.selection.rules.counts import bound_of, sides, what_if
    from infinity_assets.selection.rules.rulebook import with_threshold
    from infinity_assets.settings import Settings

    bound, settings, lake, console = bound_of(name), Settings().foundation.rules, _lake(), open_console()
    facts = _facts(lake, settings)
    if threshold is not None:
        if not math.isfinite(threshold):
            raise InfinityError(f"A threshold is a finite number, not {threshold}.")
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
            console.print(
                f"With {threshold:g} for {bound.name}:\n{what_if(facts, bound, settings, threshold)}",
                highlight=False,
                markup=False,
            )
        settings = with_threshold(settings, name, threshold)
    found = sides(facts, bound, settings, rows)
    of_them = (
        lake.scan("decontaminated")
        .select("row_id", "messages")
        .filter(pl.col("row_id").is_in(found["row_id"].implode()))
    )
    for line in lines(bound, found, texts(of_them.collect(engine="streaming"))):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if found.is_empty():
        console.print("No row is judged.")


def _lake() -> "Lake":
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    for asset in ("decontaminated", "measured"):
        if not lake.partitions(asset):
            raise InfinityError(f"`{asset}` has not been made: `infinity run --until {asset}` makes it.")
    return lake


def _facts(lake: "Lake", settings: "Rules") -> "pl.DataFrame":
    """What the rules read; without `scored`, no row was scored."""
    import polars as pl

    from infinity_assets.selection.rules import rulebook

    scores = pl.DataFrame(schema={"row_id": pl.String, "ifd": pl.Float64, "quality": pl.Float64})
    return rulebook.facts(
        lake.scan("decontaminated").select(rulebook.PLACE).collect(),
        lake.scan("measured").collect(),
        lake.scan("scored").select(rulebook.SCORES).collect() if lake.partitions("scored") else scores,
        settings,
    )
