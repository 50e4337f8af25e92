"""Frozen vocabularies: `data/vocabularies/NAME.parquet`, a line per label with its forms, and in the file's head how it was made."""

import json
import re
from pathlib import Path

import polars as pl

from infinity_assets.atomic import replacing
from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError
from infinity_assets.settings import Settings

FROZEN = pl.Schema(
    {
        "label": pl.String,
        "rows": pl.Int64,
        "cate_ability": pl.List(pl.String),
        "label_zh": pl.String,
        "forms": pl.List(pl.String),
    }
)
"""A label; the rows that carried it when it was frozen. Key: label."""

_HOW = "infinity_assets"


def path_of(data: Path, name: str) -> Path:
    """The file of a vocabulary, whether it is there or not.

    Raises:
        InfinityError: No file can have that name.
    """
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InfinityError(f"A vocabulary cannot be called {name!r}: letters, digits, dots, underscores and hyphens.")
    return data / "vocabularies" / f"{name}.parquet"


def read(data: Path, name: str) -> pl.DataFrame:
    """Its labels, of schema `FROZEN`.

    Raises:
        InfinityError: There is no such vocabulary.
    """
    return pl.read_parquet(existing(data, name), glob=False)


def existing(data: Path, name: str) -> Path:
    """The file of a vocabulary.

    Raises:
        InfinityError: It is not there.
    """
    file = path_of(data, name)
    if not file.is_file():
        raise InfinityError(
            f"There is no vocabulary {name}: `infinity labels freeze {name}` makes one of the labels in use."
        )
    return file


def how(data: Path, name: str) -> dict[str, str]:
    """How a vocabulary was made: the settings of labels, the tagger, the data versions."""
    return json.loads(pl.read_parquet_metadata(existing(data, name))[_HOW])


def freeze(data: Path, name: str) -> Path:
    """Write the vocabulary in use under a name.

    Raises:
        InfinityError: There is none in use, or one of that name is there already.
    """
    file, lake, settings = path_of(data, name), Lake(data), Settings()
    if file.exists():
        raise InfinityError(
            f"{file} is there already: a frozen vocabulary does not change, give this one another name."
        )
    made = {asset: lake.manifest(asset) for asset in ("label_forms", "tag_vocabulary")}
    missing = [asset for asset, manifest in made.items() if manifest is None]
    if missing:
        raise InfinityError(f"There is nothing to freeze: `infinity run --until {missing[-1]}` makes the vocabulary.")
    labels = (
        lake.scan("tag_vocabulary")
        .select(pl.col(column).cast(dtype) for column, dtype in FROZEN.items())
        .sort("label")
        .collect()
    )
    story = {
        "labels": settings.labels.model_dump_json(),
        "tagger": settings.models.tagger.identity,
        **{asset: manifest.data_version for asset, manifest in made.items() if manifest},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        labels.write_parquet(temporary, metadata={_HOW: json.dumps(story, sort_keys=True)})
    return file


def names(data: Path) -> list[str]:
    """Those that are there."""
    return sorted(file.stem for file in (data / "vocabularies").glob("*.parquet"))
