"""`infinity abilities`."""

import click

from infinity_assets.cli.errors import sentences
from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir


@click.command()
@sentences
def abilities() -> None:
    """What the students can do, by coarse ability and round, and how far they are behind the reference.

    Scores are the judge's, 1 to 5. Whether teaching closes the gap is shown with chat.diagnosis.taught.enabled. docs/diagnosis.md.
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.partitions import ROUNDS
    from infinity_assets.defs.registry import in_round
    from infinity_assets.report.terminal import ability_tables, open_console
    from infinity_assets.settings import Settings
    from infinity_assets.synthesis.diagnosis import wide

    console, lake = open_console(), Lake(data_dir())
    made = [name for number in ROUNDS if lake.manifest(name := in_round("abilities", number))]
    if not made:
        raise InfinityError("Nothing was diagnosed yet: `infinity run --until abilities`.")
    for table in ability_tables(wide(lake.scan(made[-1]).collect())):
        console.print(table)
    if not Settings().chat.diagnosis.taught.enabled:
        console.print(
            "No student is taught (chat.diagnosis.taught.enabled is false): whether the gap closes is not measured.",
            highlight=False,
        )
