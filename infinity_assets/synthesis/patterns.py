"""Access to the regular expressions and word lists in the YAML file beside a module."""

from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from infinity_assets.rows.words import join_pattern, join_patterns, load_words


class Patterns:
    """The regular expressions of a YAML file (`rows.words.join_patterns`), by name. The file is read at the first use."""

    def __init__(self, file: Path):
        self._file = file

    def __getitem__(self, name: str) -> str:
        return self._joined[name]

    def contains(self, text: pl.Expr, name: str) -> pl.Expr:
        """Return whether a text contains a match of the named pattern."""
        return text.str.contains(self[name])

    def extract(self, text: pl.Expr, name: str) -> pl.Expr:
        """Return the first match of the named pattern in a text, or null."""
        return text.str.extract(f"({self[name]})", 1)

    def list_alternatives(self, name: str) -> list[str]:
        """Return the alternatives of the named pattern as separate patterns."""
        return [join_pattern(part, self._joined) for part in self._content[name]]

    @cached_property
    def _content(self) -> dict[str, Any]:
        return load_words(self._file)

    @cached_property
    def _joined(self) -> dict[str, str]:
        return join_patterns(self._content)
