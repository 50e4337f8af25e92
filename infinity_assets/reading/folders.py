"""Adding local folders and files to the pool, and removing sources from it.

Files of the user outside the pool are linked or copied, never changed or deleted.
"""

import os
import shutil
from pathlib import Path

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import CONTAINERS
from infinity_assets.reading.hub import RECEIPT, WORK, to_yaml
from infinity_assets.reading.layouts import LAYOUTS
from infinity_assets.reading.pool import check_name
from infinity_assets.reading.sources import SOURCE_FILE, data_files, is_data, load_source


def check_new(root: Path, name: str) -> None:
    """Raise `InfinityError` if `name` is not valid as the name of a new source in `root`."""
    if not name or name.startswith(".") or Path(name).name != name:
        raise InfinityError(
            f"A source cannot be called {name!r}: give it another name with --name, without slashes or a leading dot."
        )
    check_name(name, root)


def check_layout(fields: dict[str, object]) -> None:
    """Raise `InfinityError` if `fields`, the values of a `source.yaml`, names an unknown layout."""
    if "layout" in fields and fields["layout"] not in LAYOUTS:
        raise InfinityError(f"There is no layout {fields['layout']}; the layouts are {', '.join(LAYOUTS)}.")


def find_existing(root: Path, name: str) -> Path:
    """Return the folder or link of a source in `root`.

    Raises:
        InfinityError: There is no such source, or `name` is a path, `.` or `..`.
    """
    if name.startswith(".") or Path(name).name != name or not os.path.lexists(root / name):
        raise InfinityError(f"There is no source {name} in {root}.")
    return root / name


def add(root: Path, path: Path, name: str | None, fields: dict[str, object], copy: bool) -> Path:
    """Make a local folder or file a source of the pool in `root` and return its folder there.

    A folder is linked as a whole, so that files added to it later belong to the source too. A file, or a folder with
    `fields` (values for `source.yaml`), becomes a folder of links to the present files with its own `source.yaml`. With
    `copy`, it holds copies instead of links. The source appears completely or not at all.

    Raises:
        InfinityError: The name is invalid or taken, the layout or `source.yaml` is invalid, or `path` holds no data
            or the pool itself.
    """
    path = path.absolute()
    name = name or (path.name if path.is_dir() else path.name.split(".")[0] or path.name)
    check_new(root, name)
    check_layout(fields)
    folder = root / name
    if os.path.lexists(folder):
        raise InfinityError(f"There is a source {name} in {root} already: give this one another name with --name.")
    if path.is_dir() and root.resolve().is_relative_to(path.resolve()):
        raise InfinityError(f"{path} cannot be a source: it contains the folder of the sources, {root}.")
    files = [Path(file.path) for file in data_files(path)] if path.is_dir() else [path] if is_data(path.name) else []
    if not files:
        raise InfinityError(f"{path} holds no data; data files end in {', '.join(CONTAINERS)}, plain or compressed.")

    root.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not fields and not copy:
        folder.symlink_to(path, target_is_directory=True)
        try:
            load_source(folder)
        except InfinityError:
            folder.unlink()
            raise
        return folder

    base = path if path.is_dir() else path.parent
    inherited = (
        load_source(base).model_dump(mode="json", exclude_unset=True, exclude={"name", "path"}) if path.is_dir() else {}
    )
    new = root / f".{name}.new"
    shutil.rmtree(new, ignore_errors=True)  # left by a killed attempt
    try:
        new.mkdir()
        for file in files:
            target = new / file.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copy2(file, target)
            else:
                target.symlink_to(file)
        write_text(to_yaml({"licence": "unknown"} | inherited | fields), new / SOURCE_FILE)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def remove(root: Path, name: str, delete: bool) -> None:
    """Remove a source (a link or a folder) from the pool in `root`.

    Links, `source.yaml` and unfinished downloads in the folder are deleted; other files only with `delete`. The targets
    of links are never deleted.

    Raises:
        InfinityError: The source does not exist, is a file, or holds other files and `delete` is false.
    """
    folder = find_existing(root, name)
    if folder.is_symlink():
        folder.unlink()
        return
    if not folder.is_dir():
        raise InfinityError(f"{folder} is not a source: it is a file.")
    own_files = [
        Path(parent, file)
        for parent, folders, files in os.walk(folder)
        if Path(parent).relative_to(folder).parts[:1] != (WORK,)
        for file in files
        if not Path(parent, file).is_symlink() and not (Path(parent) == folder and file in (SOURCE_FILE, RECEIPT))
    ]
    if own_files and not delete:
        raise InfinityError(
            f"{folder} holds {len(own_files)} files that exist only there, such as {own_files[0].name}: "
            "--delete deletes them too."
        )
    shutil.rmtree(folder)
