"""The `infinity` command, run in this process."""

from functools import partial

from click.testing import CliRunner, Result

from infinity_assets.cli import main


def infinity(*arguments: str, **environment: str) -> Result:
    """Run a command. An error that it does not explain is raised."""
    return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)


def succeed(*arguments: str) -> str:
    """Return the output of a command that succeeds."""
    result = infinity(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def fail(*arguments: str) -> str:
    """Return the output of a command that fails: one line."""
    result = infinity(*arguments)
    assert result.exit_code == 1, result.output
    assert len(result.output.strip().splitlines()) == 1
    return result.output


done = partial(succeed, "sources")
refused = partial(fail, "sources")
