"""Error messages of the `infinity` command."""

from typing import Any

import click

from infinity_assets.errors import InfinityError


class Commands(click.Group):
    """Group of commands. An error that a user can fix becomes one sentence on stderr and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (InfinityError, OSError) as error:
            raise click.ClickException(str(error)) from error
