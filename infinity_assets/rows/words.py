"""Word lists and regular expressions in YAML files beside the modules that use them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infinity_assets.rows.text import CJK


def load_words(file: Path) -> dict[str, Any]:
    """Return the content of a file, with every scalar as text, since `no` is a word and not false."""
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CBaseLoader)


def join_patterns(content: Mapping[str, Any]) -> dict[str, str]:
    """Return regular expressions by name.

    A list holds alternatives, which are joined by `|`. The lines of a text are joined without a separator. `{{name}}`
    stands for an earlier pattern, and `{{cjk}}` for the scripts without spaces (`rows.text.CJK`).
    """
    joined: dict[str, str] = {}
    joined.update((name, join_pattern(value, joined)) for name, value in content.items())
    return joined


def join_pattern(value: str | list[Any], known: Mapping[str, str]) -> str:
    """Return one regular expression, given the patterns to which it may refer."""
    return re.sub(r"\{\{(\w+)\}\}", lambda reference: {"cjk": CJK, **known}[reference[1]], _join(value))


def _join(value: str | list[Any]) -> str:
    return "".join(value.splitlines()) if isinstance(value, str) else "|".join(map(_join, value))
