"""Files and folders that appear whole or not at all and that a power cut does not take back: `infinity_assets.atomic`, and flushed.

POSIX file systems only: a rename across mounts, or on an object store, is no such promise.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infinity_assets.atomic import replacing


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends well, the file is at `path`."""
    with replacing(path) as temporary:
        yield temporary
        flush(temporary)
    flush(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; when the block ends well, it is at `path`, unless another process was faster: then its folder stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            flush(file)
        temporary.chmod(0o755)  # mkdtemp lets nobody else in
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
