"""`infinity arena`."""

from pathlib import Path

import click

from infinity_assets.cli.options import NEW_FOLDER
from infinity_assets.locations import data_dir


@click.command()
@click.option(
    "--selectors",
    default="random,longest,ifd,deita,dsir,instag,infinity",
    show_default=True,
    help="Contestants, separated by commas; `infinity` is the recipe for F. `--selectors help` lists them.",
)
@click.option(
    "--size", default=1000, show_default=True, type=click.IntRange(1), help="Rows that each contestant selects."
)
@click.option(
    "--each",
    is_flag=True,
    help="Offer each selector all rows that pass the rules and that it can rank. By default all selectors are offered "
    "the same rows, which every one of them can rank.",
)
@click.option(
    "--proxy",
    is_flag=True,
    help="Fine-tune a small model on each selection (`foundation.loop.proxy`) and show its scores on "
    "`foundation.loop.items` items per benchmark.",
)
@click.option("--out", type=NEW_FOLDER, help="Output folder. Default: arena in the data folder.")
def arena(selectors: str, size: int, each: bool, proxy: bool, out: Path | None) -> None:
    """Compare selectors: each selects the same number of rows from the same pool.

    \b
    infinity arena                                              the default selectors, 1,000 rows each
    infinity arena --selectors random,dsir,infinity --size 5000
    infinity arena --selectors longest,ifd --size 2000 --each   each selects from all rows that it can rank

    Run the graph up to `inf_instruct_f` first: the arena reads the same inputs. Without --proxy it calls no model.
    The output is arena.html (a report with charts), arena.parquet (the selected rows) and arena.json (all numbers).
    """
    from infinity_assets.atomic import write_parquet, write_text
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.report import arena as report
    from infinity_assets.report.terminal import open_console, say
    from infinity_assets.runs import arena_contest as contest
    from infinity_assets.selection.arena import RECIPE, check_selectors
    from infinity_assets.selection.selectors import SELECTORS
    from infinity_assets.settings import Settings

    console = open_console()
    if selectors.strip() == "help":
        for selector in SELECTORS.values():
            say(console, f"{selector.name:12}{selector.about} ({selector.source})")
        say(console, f"{RECIPE:12}{report.RECIPE_ABOUT}")
        return
    names = check_selectors([name.strip() for name in selectors.split(",") if name.strip()])
    lake, settings = Lake(data_dir()), Settings()
    trained = contest.proxy_trainer(lake, settings) if proxy else None
    held = contest.hold(
        lake, names, size, settings, each=each, proxy=trained, advance=lambda name: console.print(f"[dim]{name}[/dim]")
    )
    folder = out or data_dir() / "arena"
    write_text(report.page(held.arena, names, held.columns, held.notes), folder / "arena.html")
    write_text(report.as_json(held.arena, held.columns), folder / "arena.json")
    write_parquet(held.arena.chosen, folder / "arena.parquet")
    console.print(report.terminal_table(held.arena))
    for line in (*held.notes, str(folder / "arena.html")):
        say(console, line)
