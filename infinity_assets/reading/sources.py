"""Source folders: their files, their `source.yaml`, and fingerprints that detect changes.

A source is a folder, and its name is the name of the folder. The optional `source.yaml` in it may set any field of
`Source` except `path`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase, translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import CONTAINERS, load_yaml
from infinity_assets.reading.layouts import LAYOUTS
from infinity_assets.reading.mapping import FIELD_NAMES, FieldMapping
from infinity_assets.reading.names import NAMES, plain_key
from infinity_assets.reading.streams import ARCHIVES, MEMBER, is_archive, plain_suffix
from infinity_assets.rows.domains import Domain

SOURCE_FILE = "source.yaml"
NOT_DATA = NAMES["descriptions"]
"""Globs, in lower case, of the names of files that describe a dataset."""

NOT_FOLDERS = (".*", "__macosx", "__pycache__")
"""Globs, in lower case, of the names of folders to skip."""

_SHUT = "a hidden folder or one of the operating system"


class SourceError(InfinityError):
    """A `source.yaml` is invalid. The message names the file and what to change."""


class Source(BaseModel):
    """A source folder. The docstrings of the fields are their documentation."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", frozen=True)

    name: str
    """Name of the folder."""
    path: Path
    """The folder."""
    licence: str = "unknown"
    """License of all rows: an SPDX id if there is one."""
    domain: Domain | None = None
    """The domain of all rows. Null: determined for each row."""
    language: str | None = None
    """The BCP 47 tag of all rows. Null: determined for each row."""
    languages: tuple[str, ...] = ()
    """The BCP 47 tags of the dataset card if it names several. For information only."""
    url: str | None = None
    """Origin of the files: `hf://datasets/owner/name` for a dataset of the Hugging Face Hub."""
    revision: str | None = None
    """Version of the files: a commit, for a dataset of the Hub."""
    config: str | None = None
    """Configuration of a dataset of the Hub."""
    split: str | None = None
    """Split of a dataset of the Hub."""
    description: str | None = None
    """For information only."""
    layout: str | None = None
    """The layout of every record, for files with misleading keys. Null: determined by the keys."""
    fields: dict[str, str] = {}
    """Path or template for each key of a layout: `output: meta.reply.0` or `input: "{title}: {body}"`."""
    keep: tuple[str, ...] = ()
    """Paths of values to keep as annotations of the row, in addition to those that the layout keeps."""
    include: tuple[str, ...] = ()
    """Globs of the files to read, such as `train/*.jsonl`; empty for all."""
    exclude: tuple[str, ...] = ()
    """Globs of files to skip."""

    @model_validator(mode="after")
    def _check_mapping(self) -> "Source":
        FieldMapping(self.fields, self.keep)  # raises `InfinityError` for an invalid path
        for name in self.fields:
            alike = get_close_matches(plain_key(name), FIELD_NAMES, 1, 0.8) if name.isalpha() else ()
            if alike and alike[0] != plain_key(name):
                raise InfinityError(f"`fields.{name}`: no layout has such a key; did you mean `{alike[0]}`?")
        return self

    @field_validator("layout")
    @classmethod
    def _check_layout(cls, layout: str | None) -> str | None:
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"there is no such layout; the layouts are {', '.join(LAYOUTS)}")
        return layout

    def wants(self, file: str, member: str | None = None) -> bool:
        """Return whether a file is read, by its name, `include` and `exclude`. Archives are opened unless excluded.

        Args:
            file: Path of the file or archive in the source.
            member: Path of a file inside the archive.
        """
        return self.reason_to_skip(file, member) is None

    def reason_to_skip(self, file: str, member: str | None = None) -> str | None:
        """Return the reason why a file is not read, or `None` if it is. Takes the arguments of `wants`."""
        inside = file if member is None else member
        if not is_data(inside):
            return _not_data(PurePosixPath(inside))
        if not self.include and not self.exclude:
            return None
        names = (inside, inside.rpartition("/")[2], *([] if member is None else [file, f"{file}{MEMBER}{member}"]))
        named = any(fnmatchcase(name, glob) for glob in self.include for name in names)
        if self.include and not named and not is_archive(PurePosixPath(inside)):
            return "not named by `include`"
        return "named by `exclude`" if any(fnmatchcase(name, glob) for glob in self.exclude for name in names) else None

    def find_unread(self) -> dict[str, str]:
        """Return the reason why a file, a folder (`path/`) or a broken link is not read, by path."""
        closed: list[str] = []
        skipped = {
            file.name: why
            for file in _files(self.path, closed)
            if file.name != SOURCE_FILE and (why := self.reason_to_skip(file.name))
        }
        unreachable = {name: _SHUT if name.endswith("/") else "a broken link" for name in closed}
        return dict(sorted((skipped | unreachable).items()))

    def files(self) -> list["File"]:
        """Return the files to read, ordered by path in the source."""
        return [file for file in data_files(self.path) if self.wants(file.name)]


class File(NamedTuple):
    """A file of a source."""

    name: str
    """Path in the source, as in column `file` of the rows. Bytes that are not UTF-8 become U+FFFD."""
    path: str
    """Path on this machine."""


def load_source(folder: Path) -> Source:
    """Return the source in a folder.

    Raises:
        SourceError: The `source.yaml` is not valid.
    """
    file = folder / SOURCE_FILE
    fields = _read_yaml(file) if file.is_file() else {}
    if fields.get("name", folder.name) != folder.name or "path" in fields:
        raise SourceError(
            f"{file}: a source has the name of its folder: set `name: {folder.name}` or leave `name` and `path` out."
        )
    try:
        return Source.model_validate({**fields, "name": folder.name, "path": folder})
    except ValidationError as error:
        raise SourceError(f"{file}: {'; '.join(_explain(fault) for fault in error.errors())}.") from None
    except InfinityError as error:
        raise SourceError(f"{file}: {error}") from None


def is_data(file: str) -> bool:
    """Return whether a path in a source or archive names a data file or an archive that may hold data."""
    parent, _, name = file.lower().rpartition("/")
    if _NOT_DATA.match(name) or (parent and any(map(_is_shut, parent.split("/")))):
        return False
    suffix = plain_suffix(PurePosixPath(name))
    return suffix in CONTAINERS or suffix in ARCHIVES


def _is_shut(folder: str) -> bool:
    """Return whether to skip a folder by its name. The parts `.` and `..` of a path are not skipped."""
    return folder not in (".", "..") and bool(_NOT_FOLDERS.match(folder.lower()))


def _not_data(path: PurePosixPath) -> str:
    """Return the reason why a path is not a data file."""
    if any(map(_is_shut, path.parts[:-1])):
        return _SHUT
    if _NOT_DATA.match(path.name.lower()):
        return "a description of the data, by its name"
    suffix = plain_suffix(path)
    return f"{suffix} is not a known container" if suffix else "its name has no suffix of a known container"


def data_files(folder: Path) -> list[File]:
    """Return the data files in a folder, ordered by path."""
    return [file for file in _files(folder) if is_data(file.name)]


def stat_fingerprint(folder: Path) -> str:
    """Return a hash that changes if a file, including `source.yaml`, is added, removed or written. It opens no file."""
    hasher = hashlib.blake2b(digest_size=16)
    for file in _files(folder):
        stat = os.stat(file.path)
        hasher.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return hasher.hexdigest()


def content_fingerprint(source: Source, known: Path) -> str:
    """Return a hash of the paths and contents of the files to read. A copy of the source has the same hash.

    A file is opened only if its size or modification time has changed since the last call.

    Args:
        source: The source.
        known: JSON file that keeps sizes, times and hashes between calls.
    """
    try:
        before: dict[str, list] = json.loads(known.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        before = {}
    current = {}
    for file in source.files():
        stat = os.stat(file.path)
        entry = before.get(file.name, [])
        if entry[:2] != [stat.st_size, stat.st_mtime_ns]:
            with open(file.path, "rb") as stream:
                content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            entry = [stat.st_size, stat.st_mtime_ns, content]
        current[file.name] = entry
    if current != before:
        write_text(json.dumps(current, ensure_ascii=False), known)
    whole = "".join(f"{name}\0{content}\n" for name, (*_, content) in current.items())
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def find_sources(root: Path) -> list[Path]:
    """Return the subfolders of `root` with a data file or a `source.yaml`, by name; [] if `root` does not exist."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [path for path in folders if not path.name.startswith(".") and _is_source(path)]


def find_ignored(root: Path) -> dict[str, str]:
    """Return the folders (`name/`) and the data files in `root` that are no source, with the reason why not.

    Hidden folders, and files that hold no data by their name, are left out.
    """
    ignored = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and not _is_shut(path.name) and not _is_source(path):
            suffixes = sorted({plain_suffix(PurePosixPath(file.name)) or "no suffix" for file in _files(path)})
            ignored[f"{path.name}/"] = f"no data in files of {', '.join(suffixes)}" if suffixes else "no files"
        elif path.is_file() and is_data(path.name):
            ignored[path.name] = "a file: move it into a folder, whose name becomes the name of the source"
    return ignored


def _is_source(folder: Path) -> bool:
    return any(file.name == SOURCE_FILE or is_data(file.name) for file in _files(folder))


def _files(folder: Path, closed: list[str] | None = None) -> list[File]:
    """Return all files under a folder by path. Append skipped folders (`name/`) and broken links to `closed`."""
    root = os.fspath(folder)
    files = []
    seen = set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a parent folder
            folders.clear()
            continue
        seen.add(real)
        inside = parent[len(root) :].lstrip("/") + "/" if len(parent) > len(root) else ""
        if closed is not None:
            closed += [f"{inside}{name}/" for name in folders if _NOT_FOLDERS.match(name.lower())]
            closed += [inside + name for name in names if not os.path.exists(f"{parent}/{name}")]
        folders[:] = [name for name in folders if not _NOT_FOLDERS.match(name.lower())]
        files += [File(os.fsencode(inside + name).decode(errors="replace"), f"{parent}/{name}") for name in names]
    return sorted(file for file in files if os.path.isfile(file.path))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


_NOT_DATA = _any_of(NOT_DATA)
_NOT_FOLDERS = _any_of(NOT_FOLDERS)


def _read_yaml(file: Path) -> dict[str, object]:
    try:
        fields = load_yaml(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise SourceError(f"{file} must hold `key: value` lines.")
    return {str(key): value for key, value in fields.items() if value is not None}


def _explain(fault) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = [name for name in Source.model_fields if name not in ("name", "path")]
        return f"unknown key `{key}` (known: {', '.join(known)})"
    return f"`{key}`: {fault['msg']}"
