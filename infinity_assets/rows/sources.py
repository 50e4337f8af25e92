"""Source folders: what they hold, what they say about themselves, and whether they have changed.

A source is a folder; its name is the folder's name. `source.yaml` in it is optional and may say any field of `Source` but path.
"""

import hashlib
import os
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from infinity_assets.errors import InfinityError
from infinity_assets.rows.readers.compression import plain_suffix
from infinity_assets.rows.readers.containers import CONTAINERS, load_yaml
from infinity_assets.rows.readers.layouts import LAYOUTS
from infinity_assets.rows.schema import Domain

SOURCE_FILE = "source.yaml"
NOT_DATA = (SOURCE_FILE, "dataset_info.json", "README*", "LICENSE*", "*_LICENSE*", ".*")
"""Names of files that describe a dataset rather than being one, and of folders to stay out of."""


class SourceError(InfinityError):
    """A `source.yaml` that cannot be used. The message names the file and what to change."""


class Source(BaseModel):
    """A source folder. The text under a field is its documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)

    name: str
    """Name of the folder."""
    path: Path
    """The folder."""
    licence: str = "unknown"
    """SPDX id where there is one."""
    domain: Domain | None = None
    """The domain of all rows. Null: told row by row, later."""
    language: str | None = None
    """The BCP 47 tag of all rows. Null: told row by row, later."""
    languages: tuple[str, ...] = ()
    """The BCP 47 tags that its card names, where there are several. For readers."""
    url: str | None = None
    """Where it was downloaded: `hf://datasets/owner/name` for a dataset of the Hugging Face Hub."""
    revision: str | None = None
    """Which version of it; a commit of the Hub."""
    config: str | None = None
    """Which configuration of a dataset of the Hub."""
    split: str | None = None
    """Which split of it."""
    description: str | None = None
    """For readers."""
    layout: str | None = None
    """The layout of every record, for files whose keys mislead. Null: told by the keys."""
    fields: dict[str, str] = {}
    """Where a layout's keys stand in the records of this source: `output: meta.reply.0` (a path), or `input: "{title}: {body}"` (a template)."""
    keep: tuple[str, ...] = ()
    """Paths of values to keep as annotations of the row, beside those that the layout keeps."""
    include: tuple[str, ...] = ()
    """Globs of the files to read, as `train/*.jsonl`; empty for all."""
    exclude: tuple[str, ...] = ()
    """Globs of files to leave out."""

    @field_validator("layout")
    @classmethod
    def _known(cls, layout: str | None) -> str | None:
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"no layout of that name; there are {', '.join(LAYOUTS)}")
        return layout


def load_source(folder: Path) -> Source:
    """The source in a folder. Raises `SourceError` if its `source.yaml` is not valid."""
    file = folder / SOURCE_FILE
    said = _read_yaml(file) if file.is_file() else {}
    if said.get("name", folder.name) != folder.name or "path" in said:
        raise SourceError(f"{file}: a source is called what its folder is called: name it `{folder.name}` or leave `name` and `path` out.")
    try:
        return Source.model_validate({**said, "name": folder.name, "path": folder})
    except ValidationError as error:
        raise SourceError(f"{file}: {'; '.join(_explained(fault) for fault in error.errors())}.") from None


def data_files(folder: Path) -> list[Path]:
    """The files to read in a source, by their path in it."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if _is_data(name)]
    return sorted(filter(Path.is_file, found), key=lambda path: relative(path, folder))


def relative(path: Path, folder: Path) -> str:
    """The path inside the folder, as rows name it; U+FFFD for what is not UTF-8 in it."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode(errors="replace")


def fingerprint(folder: Path) -> str:
    """Changes when a file of the source is added, removed or written. Reads no file: it hashes their paths, sizes and times."""
    hasher = hashlib.blake2b(digest_size=16)
    described = [folder / SOURCE_FILE] if (folder / SOURCE_FILE).is_file() else []
    for path in [*described, *data_files(folder)]:
        stat = path.stat()
        hasher.update(f"{relative(path, folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return hasher.hexdigest()


def find_sources(root: Path) -> list[Path]:
    """The folders of a root that hold at least one data file, by name; links to folders count. None if there is no root."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [path for path in folders if not path.name.startswith(".") and data_files(path)]


def _is_data(name: str) -> bool:
    return plain_suffix(Path(name)) in CONTAINERS and not any(fnmatchcase(name, pattern) for pattern in NOT_DATA)


def _read_yaml(file: Path) -> dict[str, object]:
    try:
        said = load_yaml(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise SourceError(f"{file} must hold `key: value` lines.")
    return {str(key): value for key, value in said.items() if value is not None}


def _explained(fault) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = [name for name in Source.model_fields if name not in ("name", "path")]
        return f"unknown key `{key}` (known: {', '.join(known)})"
    return f"`{key}`: {fault['msg']}"
