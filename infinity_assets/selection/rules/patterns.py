"""The regular expressions and word lists of the rules, from `patterns.yaml`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def read_section(name: str) -> dict[str, Any]:
    """Return a section of `patterns.yaml` unchanged."""
    return yaml.safe_load(Path(__file__).with_name("patterns.yaml").read_text(encoding="utf-8"))[name]


@cache
def read_patterns(section: str) -> dict[str, str]:
    """Return the patterns of a section. Lists become alternatives, and `{{name}}` is replaced by an earlier pattern."""
    patterns: dict[str, str] = {}
    for name, text in read_section(section).items():
        joined = text if isinstance(text, str) else "|".join(text)
        patterns[name] = re.sub(r"\{\{(\w+)\}\}", lambda reference: patterns[reference[1]], joined)
    return patterns
