"""Putting folders and files of this machine into the pool, and taking sources out of it.

What a user has elsewhere is linked or copied, never written to and never deleted.
"""

import os
import shutil
from pathlib import Path

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import CONTAINERS
from infinity_assets.reading.hub import RECEIPT, WORK, as_yaml
from infinity_assets.reading.layouts import LAYOUTS
from infinity_assets.reading.pool import check_name
from infinity_assets.reading.sources import SOURCE_FILE, data_files, is_data, load_source


def check_new(root: Path, name: str) -> None:
    """Raise if a source in `root` cannot have a name."""
    if not name or name.startswith(".") or Path(name).name != name:
        raise InfinityError(
            f"A source cannot be called {name!r}: give it another name with --name, without slashes or a leading dot."
        )
    check_name(name, root)


def check_layout(said: dict[str, object]) -> None:
    """Raise if `said`, keys of `source.yaml`, names a layout that there is not."""
    if "layout" in said and said["layout"] not in LAYOUTS:
        raise InfinityError(f"There is no layout {said['layout']}; there are {', '.join(LAYOUTS)}.")


def existing(root: Path, name: str) -> Path:
    """The folder or link in `root` that has a name. Raises if there is none; a path, `.` and `..` are none."""
    if name.startswith(".") or Path(name).name != name or not os.path.lexists(root / name):
        raise InfinityError(f"There is no source {name} in {root}.")
    return root / name


def add(root: Path, path: Path, name: str | None, said: dict[str, object], copy: bool) -> Path:
    """Make a folder or a file of this machine a source of the pool in `root`, and return its folder there.

    A folder is linked as a whole, so that what is added to it later belongs to the source too. Where something is said of it (`said`, keys
    of `source.yaml`), a folder of links to its files of today is made instead, with a `source.yaml` of its own; likewise for a file. With
    `copy` the files themselves are copied. It appears whole or not at all.
    """
    path = path.absolute()
    name = name or (path.name if path.is_dir() else path.name.split(".")[0] or path.name)
    check_new(root, name)
    check_layout(said)
    folder = root / name
    if os.path.lexists(folder):
        raise InfinityError(f"There is a source {name} in {root} already: give this one another name with --name.")
    if path.is_dir() and root.resolve().is_relative_to(path.resolve()):
        raise InfinityError(f"{path} cannot be a source: the folder of the sources, {root}, lies in it.")
    files = [Path(file.path) for file in data_files(path)] if path.is_dir() else [path] if is_data(path.name) else []
    if not files:
        raise InfinityError(f"{path} holds no data; files of data end in {', '.join(CONTAINERS)}, plain or compressed.")

    root.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not said and not copy:
        folder.symlink_to(path, target_is_directory=True)
        try:
            load_source(folder)
        except InfinityError:
            folder.unlink()
            raise
        return folder

    base = path if path.is_dir() else path.parent
    described = (
        load_source(base).model_dump(mode="json", exclude_unset=True, exclude={"name", "path"}) if path.is_dir() else {}
    )
    new = root / f".{name}.new"
    shutil.rmtree(new, ignore_errors=True)  # of an attempt that was killed
    try:
        new.mkdir()
        for file in files:
            target = new / file.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copy2(file, target)
            else:
                target.symlink_to(file)
        write_text(as_yaml({"licence": "unknown"} | described | said), new / SOURCE_FILE)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def remove(root: Path, name: str, delete: bool) -> None:
    """Take a source out of the pool in `root`: a link, or a folder that holds nothing but links, `source.yaml` and what came from the Hub
    unfinished. Files of data in it go only with `delete`; what a link points to never goes.
    """
    folder = existing(root, name)
    if folder.is_symlink():
        folder.unlink()
        return
    if not folder.is_dir():
        raise InfinityError(f"{folder} is no source: it is a file.")
    own = [
        Path(parent, file)
        for parent, folders, files in os.walk(folder)
        if Path(parent).relative_to(folder).parts[:1] != (WORK,)
        for file in files
        if not Path(parent, file).is_symlink() and not (Path(parent) == folder and file in (SOURCE_FILE, RECEIPT))
    ]
    if own and not delete:
        raise InfinityError(
            f"{folder} holds {len(own)} files that are nowhere else, {own[0].name} for one: --delete deletes them too."
        )
    shutil.rmtree(folder)
