"""The page on prompts has a line for each prompt, with the purpose and variables from its file."""

import re
from pathlib import Path

import pytest

from infinity_assets import prompts

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
TABLE = {name: cells for name, *cells in LINE.findall((ROOT / "docs" / "prompts.md").read_text("utf-8"))}
"""Lines of the page by name: used by, variables, purpose."""


def test_the_page_lists_all_prompts() -> None:
    assert sorted(TABLE) == prompts.names()


@pytest.mark.parametrize("name", prompts.names())
def test_purpose_and_variables_are_those_of_the_file(name: str) -> None:
    prompt, (_, variables, purpose) = prompts.load(name, "en"), TABLE[name]
    assert purpose == prompt.purpose
    assert variables == ", ".join(f"`{variable}`" for variable in prompt.variables)
