"""The commands that README.md and docs/ show, in the order of each page."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from infinity_assets.cli import main

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK_OR_SPAN = r"^```\n(?P<block>.*?)^```|^```\w+\n.*?^```|(?<!`)`(?P<span>[^`]+)`(?!`)"
_PROGRAM = r"(?:\$ )?(?P<variables>(?:[A-Z_]+=\S+ )*)(?:\.venv/bin/)?(?P<words>(?:infinity|dagster|python -m) .*)"
_REMARK = r"\s+#\s.*|\s{3,}.*"
"""A remark behind a command: a comment, or a column of its own."""


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        line: The command as it is written, without its remark.
        variables: Environment variables that are set for the command.
        words: Program and arguments.
        output: The file that its output is redirected to, or empty.
        inline: The command is part of a sentence.
    """

    line: str
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    output: str
    inline: bool

    @property
    def is_mention(self) -> bool:
        """The command is a name in a sentence, with an option at most: it is not meant to be typed as it is."""
        if not self.inline:
            return False
        if self.words[0] != "infinity":
            return len(self.words) < 3
        command, rest = resolve(self.words[1:])
        options = {name: option for option in command.params for name in option.opts}
        return not rest or (len(rest) == 1 and rest[0] in options and not getattr(options[rest[0]], "is_flag", True))


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page: lines of its code blocks without a language, and code in its sentences."""
    for found in re.finditer(_BLOCK_OR_SPAN, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if found["block"]:
            for line in found["block"].splitlines():
                for part in line.split(" && "):
                    yield from _parsed(part.strip(), inline=False)
        elif found["span"]:
            yield from _parsed(" ".join(found["span"].split()), inline=True)


def _parsed(text: str, inline: bool) -> Iterator[Command]:
    found = re.fullmatch(_PROGRAM, text)
    if found:
        line, _, output = re.sub(_REMARK, "", found["words"]).partition(" > ")
        variables = tuple(
            (name, value) for name, _, value in (pair.partition("=") for pair in found["variables"].split())
        )
        yield Command(found["variables"] + line, variables, tuple(shlex.split(line)), output.strip(), inline)


def resolve(words: tuple[str, ...]) -> tuple[click.Command, tuple[str, ...]]:
    """Return the `infinity` command that the words name, and the words that follow its name."""
    command: click.Command = main
    context = click.Context(main, info_name="infinity")
    while isinstance(command, click.Group) and words and (inner := command.get_command(context, words[0])):
        command, words = inner, words[1:]
    return command, words
