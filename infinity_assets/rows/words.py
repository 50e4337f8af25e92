"""Word lists in YAML files beside the modules that use them."""

from pathlib import Path
from typing import Any

import yaml


def load_words(file: Path) -> dict[str, Any]:
    """Return the content of a file, every scalar as text: `no` is a word."""
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CBaseLoader)
