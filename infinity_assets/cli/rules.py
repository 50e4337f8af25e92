"""`infinity rules`."""

import math
from typing import TYPE_CHECKING

import click

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir

if TYPE_CHECKING:
    import polars as pl

    from infinity_assets.catalog.lake import Lake
    from infinity_assets.settings.foundation import Rules


@click.group(invoke_without_command=True)
@click.pass_context
def rules(context: click.Context) -> None:
    """Count, for each rule of InfInstruct-F, the rows that it judges and the rows that fail it, in all and by domain.

    The column `alone` counts the rows that fail no other rule. The measures come from `measured` and `scored`, and the
    thresholds from the settings `foundation.rules`. Nothing is materialized.
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
@click.option("--threshold", type=float, help="Show the effect of this threshold, and the rows on both sides of it.")
def show(name: str, rows: int, threshold: float | None) -> None:
    """Show the rows that barely pass or barely fail the rule NAME: those nearest to its threshold.

    \b
    infinity rules show refusal --rows 10
    infinity rules show answer_too_long --threshold 8000
    """
    import polars as pl

    from infinity_assets.report.rule_tables import side_lines, texts
    from infinity_assets.report.terminal import open_console, say
    from infinity_assets.selection.rules.counts import find_bound, sides, what_if
    from infinity_assets.selection.rules.rulebook import replace_threshold
    from infinity_assets.settings import Settings

    bound = find_bound(name)
    settings = Settings().foundation.rules
    lake = _lake()
    console = open_console()
    facts = _facts(lake, settings)
    if threshold is not None:
        if not math.isfinite(threshold):
            raise InfinityError(f"A threshold must be a finite number, not {threshold}.")
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
            say(console, f"With {threshold:g} for {bound.name}:\n{what_if(facts, bound, settings, threshold)}")
        settings = replace_threshold(settings, name, threshold)
    nearest = sides(facts, bound, settings, rows)
    for line in side_lines(bound, nearest, texts(lake.scan("decontaminated"), nearest["row_id"])):
        say(console, line)
    if nearest.is_empty():
        console.print("No row is judged.")


def _lake() -> "Lake":
    from infinity_assets.catalog.lake import Lake

    lake = Lake(data_dir())
    for asset in ("decontaminated", "measured"):
        if not lake.partitions(asset):
            raise InfinityError(f"`{asset}` has not been materialized: `infinity run --until {asset}`.")
    return lake


def _facts(lake: "Lake", settings: "Rules") -> "pl.DataFrame":
    """Return the columns that the rules read. Scores are null if `scored` is not materialized."""
    import polars as pl

    from infinity_assets.defs.foundation import candidates
    from infinity_assets.selection.rules import rulebook

    def read(asset: str) -> pl.LazyFrame:
        without_scores = pl.LazyFrame(schema={"row_id": pl.String, "ifd": pl.Float64, "quality": pl.Float64})
        return lake.scan(asset) if lake.partitions(asset) else without_scores

    return candidates.facts(read, read("decontaminated").select(rulebook.PLACE).collect(), settings)
