"""Tests that the page on formats names every layout, suffix, repair and reason of the readers."""

import re
from pathlib import Path

import pytest

from infinity_assets.reading.containers import CONTAINERS
from infinity_assets.reading.layouts import LAYOUTS
from infinity_assets.reading.streams import COMPRESSIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
CONSTANTS = re.compile(r'^[A-Z_0-9]+ = "([a-z_0-9]+)"$', re.MULTILINE)


def reasons() -> list[str]:
    """Return the reasons that modules of the readers define for `decisions`."""
    readers = ROOT / "infinity_assets" / "reading"
    files = [*sorted((readers / "containers").glob("*.py")), readers / "encodings.py", readers / "json_repair.py"]
    return [name for file in files for name in CONSTANTS.findall(file.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", [*LAYOUTS, *reasons()])
def test_the_page_names_every_layout_and_reason(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("suffix", [*CONTAINERS, *COMPRESSIONS])
def test_the_page_names_every_suffix(suffix: str) -> None:
    assert re.search(rf"\b{suffix.strip('.').removesuffix('d')}\b", PAGE)
