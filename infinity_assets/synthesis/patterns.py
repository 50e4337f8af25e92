"""Access to the regular expressions and word lists in the YAML file beside a module."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from infinity_assets.rows.text import CJK


class Patterns:
    """The regular expressions of a YAML file, by name. The file is read at the first use.

    The elements of a YAML list are alternatives, joined by `|`. The lines of a YAML string are joined without a
    separator. `{{name}}` inserts an earlier pattern, and `{{cjk}}` the scripts without spaces (`rows.text.CJK`).
    """

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
        return [self._insert(_join(part), self._joined) for part in self._content[name]]

    @cached_property
    def _content(self) -> dict[str, Any]:
        return yaml.safe_load(self._file.read_text(encoding="utf-8"))

    @cached_property
    def _joined(self) -> dict[str, str]:
        joined = {"cjk": CJK}
        for name, value in self._content.items():
            joined[name] = self._insert(_join(value), joined)
        return joined

    @staticmethod
    def _insert(pattern: str, known: dict[str, str]) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda reference: known[reference[1]], pattern)


def _join(value: str | list[Any]) -> str:
    return "".join(value.splitlines()) if isinstance(value, str) else "|".join(map(_join, value))
