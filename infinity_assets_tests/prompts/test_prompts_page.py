"""The page on prompts has a line for each, and says of it what its file says."""

import re
from pathlib import Path

import pytest

from infinity_assets import prompts

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
TABLE = {name: told for name, *told in LINE.findall((ROOT / "docs" / "prompts.md").read_text("utf-8"))}
"""By name: used by, variables, purpose."""


def test_a_line_for_each() -> None:
    assert sorted(TABLE) == prompts.names()


@pytest.mark.parametrize("name", prompts.names())
def test_it_says_what_the_file_says(name: str) -> None:
    prompt, (_, variables, purpose) = prompts.load(name, "en"), TABLE[name]
    assert purpose == prompt.purpose
    assert variables == ", ".join(f"`{variable}`" for variable in prompt.variables)
