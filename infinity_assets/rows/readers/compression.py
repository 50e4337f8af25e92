"""Compressed files as plain byte streams.

Damage is an exception, never a shorter stream: a reader that sees the end of the stream has seen the end of the data.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

SUFFIXES = (".gz", ".zst")

DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a damaged file raises."""

MAX_WINDOW = 2**27
"""The window of `zstd --long=27`, which is how large open datasets are packed; the library's own bound is lower."""

CHUNK = 1 << 20


def plain_suffix(path: Path) -> str:
    """The suffix that tells the container, in lower case: `.jsonl` for `train.jsonl.zst`."""
    inner = Path(path.stem) if path.suffix.lower() in SUFFIXES else path
    return inner.suffix.lower()


@contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, decompressed while they are read. Raises one of `DAMAGE` when opened or read."""
    with path.open("rb") as file:
        match path.suffix.lower():
            case ".gz":
                yield gzip.GzipFile(fileobj=file)
            case ".zst":
                yield io.BufferedReader(_ZstdStream(file), CHUNK)
            case _:
                yield file


class _ZstdStream(io.RawIOBase):
    """Zstandard frames, one after the other. The library's own reader takes a file that was cut off for one that ended."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._frame = None
        self._packed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._plain:
            if not self._fill():
                return 0
        size = min(len(buffer), len(self._plain))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def _fill(self) -> bool:
        """Decompress one more chunk; false at the end of the last frame."""
        packed = self._packed or self._file.read(CHUNK)
        self._packed = b""
        if not packed:
            if self._frame is not None:
                raise EOFError("the file ends inside a zstandard frame")
            return False
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        self._plain = memoryview(self._frame.decompress(packed))
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return True
