"""The `infinity sources` commands, run in this process."""

from click.testing import CliRunner, Result

from infinity_assets.cli import main


def infinity(*arguments: str) -> Result:
    """Run an `infinity sources` command."""
    return CliRunner().invoke(main, ["sources", *arguments], catch_exceptions=False)


def done(*arguments: str) -> str:
    """Return the output of a command that succeeds."""
    result = infinity(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    """Return the output of a command that fails: one line."""
    result = infinity(*arguments)
    assert result.exit_code == 1, result.output
    assert len(result.output.strip().splitlines()) == 1
    return result.output
