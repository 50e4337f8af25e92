"""Source folders: what they hold, what they say about themselves, and whether they have changed.

A source is a folder; its name is the folder's name. `source.yaml` in it is optional and may say any field of `Source` but path.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase, translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import CONTAINERS, load_yaml
from infinity_assets.reading.layouts import LAYOUTS
from infinity_assets.reading.mapping import FieldMapping
from infinity_assets.reading.streams import ARCHIVES, MEMBER, is_archive, plain_suffix
from infinity_assets.rows.domains import Domain

SOURCE_FILE = "source.yaml"
NOT_DATA = (
    *(
        SOURCE_FILE,
        "dataset_info.json",
        "dataset_infos.json",
        "dataset_dict.json",
        "state.json",
        "metadata.json",
        "schema.json",
    ),
    *(
        f"{name}{rest}"
        for name in ("readme", "license", "licence", "copying", "notice", "changelog", "requirements")
        for rest in ("", ".*")
    ),
    *("readme_*", "*_license", "*_license.*", "*-license.*", ".*"),
)
"""Names, in lower case, of files that describe a dataset rather than being one."""

NOT_FOLDERS = (".*", "__macosx", "__pycache__")
"""Names, in lower case, of folders to stay out of."""

_SHUT = "a hidden folder, or one of an operating system"


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

    @model_validator(mode="after")
    def _mapped(self) -> "Source":
        FieldMapping(self.fields, self.keep)  # raises the sentence that says what is wrong with a path
        return self

    @field_validator("layout")
    @classmethod
    def _known(cls, layout: str | None) -> str | None:
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"no layout of that name; there are {', '.join(LAYOUTS)}")
        return layout

    def wants(self, file: str, member: str | None = None) -> bool:
        """Whether a file is read: its name is one of data, and `include` and `exclude` let it. An archive is opened unless it is excluded.

        Args:
            file: Its path in the source.
            member: For one in an archive, its path there.
        """
        return self.refuses(file, member) is None

    def refuses(self, file: str, member: str | None = None) -> str | None:
        """Why a file is not read, in words; null if it is. Arguments as of `wants`."""
        inside = file if member is None else member
        if not is_data(inside):
            return _not_data(PurePosixPath(inside))
        if not self.include and not self.exclude:
            return None
        names = (inside, inside.rpartition("/")[2], *([] if member is None else [file, f"{file}{MEMBER}{member}"]))
        if (
            self.include
            and not is_archive(PurePosixPath(inside))
            and not any(fnmatchcase(name, glob) for glob in self.include for name in names)
        ):
            return "not named by `include`"
        return "named by `exclude`" if any(fnmatchcase(name, glob) for glob in self.exclude for name in names) else None

    def left_out(self) -> dict[str, str]:
        """What of the folder is not read, by path, and why: files, links to nothing, and folders (with a slash at their end) not entered."""
        closed: list[str] = []
        refused = {
            file.name: why
            for file in _files(self.path, closed)
            if file.name != SOURCE_FILE and (why := self.refuses(file.name))
        }
        shut = {name: _SHUT if name.endswith("/") else "a link to nothing" for name in closed}
        return dict(sorted((refused | shut).items()))

    def files(self) -> list["File"]:
        """The files to read, by their path in the source."""
        return [file for file in data_files(self.path) if self.wants(file.name)]


class File(NamedTuple):
    """A file of a source."""

    name: str
    """Its path in the source, as rows name it; U+FFFD for what is not UTF-8 in it."""
    path: str
    """Where it is."""


def load_source(folder: Path) -> Source:
    """The source in a folder. Raises `SourceError` if its `source.yaml` is not valid."""
    file = folder / SOURCE_FILE
    said = _read_yaml(file) if file.is_file() else {}
    if said.get("name", folder.name) != folder.name or "path" in said:
        raise SourceError(
            f"{file}: a source is called what its folder is called: name it `{folder.name}` or leave `name` and `path` out."
        )
    try:
        return Source.model_validate({**said, "name": folder.name, "path": folder})
    except ValidationError as error:
        raise SourceError(f"{file}: {'; '.join(_explained(fault) for fault in error.errors())}.") from None
    except InfinityError as error:
        raise SourceError(f"{file}: {error}") from None


def is_data(file: str) -> bool:
    """Whether a file is one of data, or an archive that may hold some, by its path in a source or an archive."""
    parent, _, name = file.lower().rpartition("/")
    if _NOT_DATA.match(name) or (parent and any(map(_is_shut, parent.split("/")))):
        return False
    suffix = plain_suffix(PurePosixPath(name))
    return suffix in CONTAINERS or suffix in ARCHIVES


def _is_shut(folder: str) -> bool:
    """Whether a folder is one to stay out of, by its name; `.` and `..`, as paths in archives may begin, are none."""
    return folder not in (".", "..") and bool(_NOT_FOLDERS.match(folder.lower()))


def _not_data(path: PurePosixPath) -> str:
    """Why a path is not that of data."""
    if any(map(_is_shut, path.parts[:-1])):
        return _SHUT
    if _NOT_DATA.match(path.name.lower()):
        return "its name says that it describes the data"
    suffix = plain_suffix(path)
    return f"{suffix} is no container that is known" if suffix else "its name has no suffix that tells its container"


def data_files(folder: Path) -> list[File]:
    """The files of data in a folder, by their path in it."""
    return [file for file in _files(folder) if is_data(file.name)]


def stat_fingerprint(folder: Path) -> str:
    """Changes when a file of the folder, its `source.yaml` included, is added, removed or written. It opens no file: a stat each."""
    hasher = hashlib.blake2b(digest_size=16)
    for file in _files(folder):
        stat = os.stat(file.path)
        hasher.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return hasher.hexdigest()


def content_fingerprint(source: Source, known: Path) -> str:
    """Changes when the content or the path of a file to read does: a copy of the source elsewhere has the same.

    A file is read only if its size or time is not that of the last call, so that an unchanged source costs a stat for each file.

    Args:
        source: The source.
        known: Where sizes, times and hashes are kept between calls: a JSON file of the caller's.
    """
    try:
        before: dict[str, list] = json.loads(known.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        before = {}
    now = {}
    for file in source.files():
        stat = os.stat(file.path)
        described = before.get(file.name, [])
        if described[:2] != [stat.st_size, stat.st_mtime_ns]:
            with open(file.path, "rb") as stream:
                content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            described = [stat.st_size, stat.st_mtime_ns, content]
        now[file.name] = described
    if now != before:
        write_text(json.dumps(now, ensure_ascii=False), known)
    whole = "".join(f"{name}\0{content}\n" for name, (*_, content) in now.items())
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def find_sources(root: Path) -> list[Path]:
    """The folders of a root that hold a data file or a `source.yaml`, by name; links to folders count. None if there is no root."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [path for path in folders if not path.name.startswith(".") and _is_source(path)]


def _is_source(folder: Path) -> bool:
    return any(file.name == SOURCE_FILE or is_data(file.name) for file in _files(folder))


def _files(folder: Path, closed: list[str] | None = None) -> list[File]:
    """All files under a folder, by their path in it. `closed` is given the folders that are not entered (`name/`) and the links to nothing."""
    root, found, seen = os.fspath(folder), [], set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        inside = parent[len(root) :].lstrip("/") + "/" if len(parent) > len(root) else ""
        if closed is not None:
            closed += [f"{inside}{name}/" for name in folders if _NOT_FOLDERS.match(name.lower())]
            closed += [inside + name for name in names if not os.path.exists(f"{parent}/{name}")]
        folders[:] = [name for name in folders if not _NOT_FOLDERS.match(name.lower())]
        found += [File(os.fsencode(inside + name).decode(errors="replace"), f"{parent}/{name}") for name in names]
    return sorted(file for file in found if os.path.isfile(file.path))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


_NOT_DATA, _NOT_FOLDERS = _any_of(NOT_DATA), _any_of(NOT_FOLDERS)


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
