"""Error messages of the `infinity` command."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from infinity_assets.errors import InfinityError


def report_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that a user can fix into one sentence on stderr and exit status 1."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (InfinityError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped
