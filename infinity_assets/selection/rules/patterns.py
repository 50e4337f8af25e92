"""The regular expressions and word lists of the rules, from `patterns.yaml`."""

from functools import cache
from pathlib import Path
from typing import Any

from infinity_assets.rows.words import join_patterns, load_words


@cache
def read_section(name: str) -> dict[str, Any]:
    """Return a section of `patterns.yaml` unchanged."""
    return load_words(Path(__file__).with_name("patterns.yaml"))[name]


@cache
def read_patterns(section: str) -> dict[str, str]:
    """Return the regular expressions of a section (`rows.words.join_patterns`)."""
    return join_patterns(read_section(section))
