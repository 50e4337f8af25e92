"""The allow-list: texts so widely quoted that a row with one of them is not evidence of contamination."""

from pathlib import Path

import polars as pl
import yaml

from infinity_assets.errors import InfinityError

SHIPPED = Path(__file__).with_name("allowed.yaml")
"""The allow-list that the package ships."""

ALLOWED = pl.Schema({"name": pl.String, "text": pl.String, "file": pl.String})
"""Schema of the allowed texts, one per line. Key: file, name, text."""

FILE = "allowed.yaml"
"""Name of the user's allow-list, in the folder of the benchmarks."""


def read_allowed_texts(benchmarks: Path) -> pl.DataFrame:
    """Return the allowed texts of the package and of the user's file in the folder of the benchmarks, as `ALLOWED`.

    Raises:
        InfinityError: The user's file is not YAML, or not a mapping of names to texts.
    """
    own = benchmarks / FILE
    return pl.concat([_read(file) for file in (SHIPPED, own) if file.is_file()])


def _read(file: Path) -> pl.DataFrame:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InfinityError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    listed = content.items() if isinstance(content, dict) else [("", None)]
    lines = [
        (str(name), text, file.name)
        for name, texts in listed
        for text in (texts if isinstance(texts, list) else [texts])
    ]
    if not all(isinstance(text, str) for _, text, _ in lines):
        raise InfinityError(f"{file} must hold `name: text` lines, or a list of texts under a name.")
    return pl.DataFrame(lines, schema=ALLOWED, orient="row")
