"""Frozen vocabularies: files `data/vocabularies/NAME.parquet`, with their provenance in the Parquet metadata."""

import json
import re
from pathlib import Path

import polars as pl

from infinity_assets.atomic import replace_file
from infinity_assets.catalog.lake import Lake
from infinity_assets.errors import InfinityError
from infinity_assets.rows.frames import conform
from infinity_assets.settings import Settings

_COLUMNS = {
    "label": pl.String,
    "rows": pl.Int64,
    "cate_ability": pl.List(pl.String),
    "label_zh": pl.String,
    "forms": pl.List(pl.String),
}


def file_of(data: Path, name: str) -> Path:
    """Return the path of a vocabulary, even if there is no such file.

    Raises:
        InfinityError: The name has characters that are not allowed.
    """
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise InfinityError(f"A vocabulary cannot be called {name!r}: letters, digits, dots, underscores and hyphens.")
    return data / "vocabularies" / f"{name}.parquet"


def read(data: Path, name: str) -> pl.DataFrame:
    """Return a vocabulary, one line per label: label, rows (the number of rows with it at that time), cate_ability,
    label_zh, forms.

    Raises:
        InfinityError: There is no such vocabulary.
    """
    file = file_of(data, name)
    if not file.is_file():
        raise InfinityError(
            f"There is no vocabulary {name}: `infinity labels freeze {name}` creates it from the labels in use."
        )
    return pl.read_parquet(file, glob=False)


def freeze(data: Path, name: str) -> Path:
    """Write the vocabulary in use to the file of a name, and return its path.

    Raises:
        InfinityError: There is no vocabulary in use, or the name is taken or not valid.
    """
    file, lake, settings = file_of(data, name), Lake(data), Settings()
    if file.exists():
        raise InfinityError(f"{file} exists already: a frozen vocabulary does not change, so choose another name.")
    manifests = {asset: lake.manifest(asset) for asset in ("label_forms", "tag_vocabulary")}
    missing = [asset for asset, manifest in manifests.items() if manifest is None]
    if missing:
        raise InfinityError(f"There is nothing to freeze: `infinity run --until {missing[-1]}` makes the vocabulary.")
    labels = conform(lake.scan("tag_vocabulary"), _COLUMNS).sort("label").collect()
    origin = {
        "labels": settings.labels.model_dump_json(),
        "tagger": settings.models.tagger.weights_id,
        **{asset: manifest.data_version for asset, manifest in manifests.items() if manifest},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as temporary:
        labels.write_parquet(temporary, metadata={"infinity_assets": json.dumps(origin, sort_keys=True)})
    return file


def frozen_names(data: Path) -> list[str]:
    """Return the names of the frozen vocabularies, sorted."""
    return sorted(file.stem for file in (data / "vocabularies").glob("*.parquet"))
