"""How the `infinity` command says what went wrong."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from infinity_assets.errors import InfinityError


def sentences(function: Callable[..., Any]) -> Callable[..., Any]:
    """Errors that a user can do something about become one sentence on stderr and exit status 1."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (InfinityError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped
