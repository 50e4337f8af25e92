"""Error messages of the `infinity` command."""

from typing import Any

import click

from infinity_assets.errors import InfinityError


class Commands(click.Group):
    """A group of commands that turns errors that a user can fix into one sentence on stderr and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command of the context."""
        try:
            return super().invoke(ctx)
        except (InfinityError, OSError) as error:
            raise click.ClickException(str(error)) from error
