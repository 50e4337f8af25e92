"""The documentation: commands, settings, links and reason codes exist, and docstrings begin with their subject.

`end_to_end/test_documented_commands.py` runs the commands.
"""

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml

from infinity_assets.decontamination.gate import RULES
from infinity_assets.selection.rules.rulebook import BOUNDS
from infinity_assets.selection.seeds.criteria import CRITERIA
from infinity_assets.settings import Settings
from infinity_assets.synthesis import answers, final
from infinity_assets_tests.documented_commands import PAGES, ROOT, commands, resolve
from infinity_assets_tests.settings_reference import FILE, reference

OTHER_YAML = ("dagster.md", "labels.md", "sources.md")
"""Pages whose YAML is not that of the settings: the launchpad, labels.yaml, source.yaml."""

OF_A_USER = ("data/", "catalog/fingerprints/")
"""Beginnings of paths in a data folder."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: Path) -> None:
    for command in commands(page):
        program, *words = command.words
        if program == "python":
            assert find_spec(words[1]), command.line
        if program != "infinity" or command.is_mention:
            continue
        found, rest = resolve(tuple(words))
        assert not isinstance(found, click.Group) or found.invoke_without_command or not rest or rest == ("--help",), (
            command.line
        )
        try:
            found.make_context(found.name, list(rest))
        except (click.BadParameter, click.exceptions.Exit):
            pass  # a path of the example, or --help
        except click.UsageError as error:
            raise AssertionError(f"{page.name}: {command.line}: {error.format_message()}") from error


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OTHER_YAML], ids=lambda page: page.name)
def test_the_settings_on_a_page_are_valid(page: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        Settings(**yaml.safe_load(block))


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_in_the_code_exists(page: Path) -> None:
    places = (ROOT, ROOT / "infinity_assets", ROOT / "infinity_assets_tests")
    for path in re.findall(
        r"`(\w+(?:/\w+)+(?:\.py|\.yaml|\.json|/)|infinity_assets\w*(?:/\w+)+)`", page.read_text("utf-8")
    ):
        assert path.startswith(OF_A_USER) or any((place / path).exists() for place in places), f"{page.name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_outside_of_tables_fit_into_120_columns(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent == ROOT / "docs" and f"({page.name})" not in index] == [
        "README.md"
    ]


def test_the_settings_reference_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run `python -m infinity_assets_tests.settings_reference`"


GLOSSARY = re.findall(
    r"^\| `(\w+)` \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").split("## Reason codes")[1], re.M
)
"""The reason codes that the glossary defines."""
MODULES = {
    file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "infinity_assets").rglob("*.py"))
}


def reasons_in_code() -> Iterator[str]:
    """Yield the reason codes of rules, of rejected records and of failed calls, and those given as `reason=`."""
    yield from (*(bound.name for bound in BOUNDS), *answers.REASONS, *final.REASONS, *CRITERIA)
    for node in (node for module in MODULES.values() for node in ast.walk(module)):
        if isinstance(node, ast.Call):
            if node.args and getattr(node.func, "id", "") in ("Rule", "Rejected"):
                yield from _text(node.args[0])
            yield from (text for keyword in node.keywords if keyword.arg == "reason" for text in _text(keyword.value))
        elif isinstance(node, ast.AnnAssign) and getattr(node.annotation, "id", "") == "Final" and node.value:
            yield from _text(node.value)


def _text(node: ast.expr) -> Iterator[str]:
    """Yield the text of a literal, bare or in `pl.lit`. A literal that ends in `_` is only the beginning of a code."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "lit":
        node = node.args[0]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value and not node.value.endswith("_"):
        yield node.value


def test_the_glossary_defines_every_reason_code() -> None:
    found = set(reasons_in_code())
    assert len(found) > 90
    assert sorted(found - set(GLOSSARY) - {"reason"}) == []  # `reason` is the name of a column


def test_every_reason_code_of_the_glossary_exists() -> None:
    known = {node.value for module in MODULES.values() for node in ast.walk(module) if isinstance(node, ast.Constant)}
    known |= {bound.name for bound in BOUNDS}
    known |= {f"{beginning}_{rule}" for beginning in ("contaminated", "prompt_example") for rule in RULES}
    assert [code for code in GLOSSARY if code not in known] == []
    assert sorted(set(GLOSSARY)) == GLOSSARY


BANNED = r"^(?:What|Whether|Which|How|Those|The same|As always|As the)\b|\bsuch as are\b|\bas always\b|\bsee there\b"
"""Openings without a subject, and phrases that send the reader elsewhere."""


def docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The docstrings of a module and of everything in it, those below attributes included."""
    for node in ast.walk(module):
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
        for file, module in MODULES.items()
        for line, text in docstrings(module)
        if re.search(BANNED, text.strip())
    ]
    assert not faults, "\n".join(faults)
