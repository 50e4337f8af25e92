"""Word lists in YAML files beside the modules that use them."""

from pathlib import Path
from typing import Any

import yaml


def load_words(file: Path) -> dict[str, Any]:
    """Return the content of a file, with every scalar as text, since `no` is a word and not false."""
    return yaml.load(file.read_text(encoding="utf-8"), yaml.CBaseLoader)
