"""The documentation: commands exist, links lead somewhere, the settings reference is current, and docstrings begin with their subject."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from infinity_assets.cli import main
from infinity_assets_tests.settings_reference import FILE, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[str]:
    """The `infinity` commands in the code blocks of a page."""
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if found := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?infinity (.*)", line.strip()):
                yield re.split(r"\s{3,}|\s>\s", found[1])[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: Path) -> None:
    """Commands are parsed, not run: a name or an option that does not exist is found."""
    for line in commands(page):
        command, words, context = main, shlex.split(line, comments=True), click.Context(main, info_name="infinity")
        while isinstance(command, click.Group) and words and (found := command.get_command(context, words[0])):
            command, words = found, words[1:]
        assert (
            not isinstance(command, click.Group) or command.invoke_without_command or not words or words[0] == "--help"
        ), line
        if "&&" in words or "..." in words or "|" in words:
            words = words[: next(place for place, word in enumerate(words) if word in ("&&", "...", "|"))]
        try:
            command.make_context(command.name, list(words), resilient_parsing=False)
        except (click.BadParameter, click.exceptions.Exit):
            pass  # a path of the example, or --help
        except click.UsageError as error:
            raise AssertionError(f"{page.name}: `infinity {line}`: {error.format_message()}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}; there are {sorted(slugs)}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"({page.name})" not in index] == [
        "README.md"
    ]


def test_the_settings_reference_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run `python -m infinity_assets_tests.settings_reference`"


BANNED = r"^(?:What|Whether|Which|How|Those|The same|As always|As the)\b|\bsuch as are\b|\bas always\b|\bsee there\b"
"""Openings without a subject, and phrases that send the reader elsewhere."""


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """The docstrings of a module and of everything in it, those below attributes included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


def test_docstrings_begin_with_their_subject() -> None:
    faults = [
        f"{file.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0][:80]}"
        for file in sorted((ROOT / "infinity_assets").rglob("*.py"))
        for line, text in docstrings(file)
        if re.search(BANNED, text.strip())
    ]
    assert not faults, "\n".join(faults)
