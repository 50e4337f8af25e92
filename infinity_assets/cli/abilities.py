"""`infinity abilities`."""

import click

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir


@click.command()
def abilities() -> None:
    """Show the students' scores per coarse ability and round, and their gap to the scores of the reference answers.

    The judge scores answers from 1 to 5. With chat.diagnosis.taught.enabled, the tables also show by how much
    fine-tuning the first student closed the gap: docs/diagnosis.md.
    """
    from infinity_assets.catalog.lake import Lake
    from infinity_assets.defs.partitions import ROUNDS
    from infinity_assets.defs.registry import in_round
    from infinity_assets.report.terminal import ability_tables, open_console, say
    from infinity_assets.settings import Settings
    from infinity_assets.synthesis.diagnosis import spread_students

    console, lake = open_console(), Lake(data_dir())
    diagnosed = [name for number in ROUNDS if lake.manifest(name := in_round("abilities", number))]
    if not diagnosed:
        raise InfinityError("There is no diagnosis yet: `infinity run --until abilities`.")
    for table in ability_tables(spread_students(lake.scan(diagnosed[-1]).collect())):
        console.print(table)
    if not Settings().chat.diagnosis.taught.enabled:
        say(
            console,
            "No student is taught (chat.diagnosis.taught.enabled is false), so the effect on the gap is not measured.",
        )
