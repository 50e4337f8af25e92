"""Files as plain byte streams: compressions undone, archives opened, UTF-16 made UTF-8.

Damage is an exception, never a shorter stream: a reader that sees the end of the stream has seen the end of the data.
"""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from tarfile import EmptyHeaderError, InvalidHeaderError, ReadError, TruncatedHeaderError  # pyright: ignore[reportAttributeAccessIssue]
from typing import IO, Any, NamedTuple

import zstandard

COMPRESSIONS = (".gz", ".zst", ".zstd", ".bz2", ".xz")
ARCHIVES = (".tar", ".zip", ".tgz", ".tbz2", ".txz")

DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)
"""What reading a damaged file raises. (An encrypted or exotic zip member is a NotImplementedError.)"""

MAX_WINDOW = 2**27
"""The window of `zstd --long=27`, which is how large open datasets are packed; the library's own bound is lower."""

MAX_DEPTH = 4
"""Archives within archives, and compressions within compressions, that are opened."""

MEMBER = "!"
"""Between an archive's path and that of a file in it: `all.tar.zst!data/0.json`."""

CHUNK = 1 << 20

_BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Longest first: the mark of UTF-32 begins with that of UTF-16."""


def is_archive(path: PurePosixPath | Path) -> bool:
    """Whether a path ends like that of an archive, compressed or not."""
    return plain_suffix(path) in ARCHIVES


def compression_of(head: bytes) -> str | None:
    """The compression that the first bytes of a file tell: `gz`, `zst`, `bz2` or `xz`; null if none."""
    return next((_NAMES[magic] for magic in _UNPACKERS if head.startswith(magic)), None)


class Opened(NamedTuple):
    """One file with data, as it is read."""

    file: str
    """Its path in the source; inside an archive, the archive's path, `!` and the path in it."""
    suffix: str
    """What tells its container, in lower case: `.jsonl` for `train.jsonl.zst`."""
    stream: IO[bytes]
    """Its bytes, decompressed while they are read. Good until the next file is asked for."""


def plain_suffix(path: PurePosixPath | Path) -> str:
    """The suffix that tells the container, in lower case and without compression: `.jsonl` for `train.jsonl.zst`."""
    suffix = path.suffix.lower()
    return plain_suffix(path.with_suffix("")) if suffix in COMPRESSIONS and path.stem != path.name else suffix


def open_files(
    stream: IO[bytes], file: str, wanted: Callable[[str], bool], name: PurePosixPath | None = None, depth: int = MAX_DEPTH
) -> Iterator[Opened]:
    """The data in a stream, whatever is wrapped around it: one file, or those in an archive, in its order.

    What the bytes say goes before what the name says.

    Args:
        stream: The bytes of a file.
        file: What it is called.
        wanted: Whether a path inside an archive is that of data.
        name: The path that tells suffixes, if not `file`.
        depth: How many more compressions and archives are opened.

    Raises:
        One of `DAMAGE`, here or while a stream is read.
    """
    name = PurePosixPath(file) if name is None else name
    if depth == 0:
        raise OSError(f"more than {MAX_DEPTH} compressions or archives, one in the other")
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(_Raw(stream), 1 << 16)
    head = buffered.peek(512)[:512]
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if head.startswith(magic)), None)
    if unpack:
        with closing(unpack(buffered)) as plain:
            inner = name.with_suffix(".tar" if name.suffix.lower() in (".tgz", ".tbz2", ".txz") else "") if name.suffix else name
            yield from open_files(plain, file, wanted, inner, depth - 1)
    elif name.suffix.lower() in COMPRESSIONS and head:
        raise OSError(f"it is called {name.suffix} but is not compressed that way")
    elif head.startswith(b"PK\x03\x04"):
        yield from _zip_members(buffered, file, wanted, depth)
    elif head[257:262] == b"ustar" or (name.suffix.lower() in ARCHIVES and head):
        yield from _tar_members(buffered, file, wanted, depth)
    else:
        yield Opened(file, name.suffix.lower(), _utf8(buffered, head))


def _zip_members(stream: IO[bytes], file: str, wanted: Callable[[str], bool], depth: int) -> Iterator[Opened]:
    seekable = stream if stream.seekable() else io.BytesIO(stream.read())
    with zipfile.ZipFile(seekable) as archive:
        for member in archive.infolist():
            if not member.is_dir() and wanted(member.filename):
                if member.flag_bits & 1:
                    raise NotImplementedError(f"{member.filename} in it is encrypted")
                with archive.open(member) as inner:
                    yield from open_files(inner, f"{file}{MEMBER}{member.filename}", wanted, PurePosixPath(member.filename), depth - 1)


def _tar_members(stream: IO[bytes], file: str, wanted: Callable[[str], bool], depth: int) -> Iterator[Opened]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=_Member) as archive:
        for member in archive:
            inner = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if inner:
                name = member.name.encode(errors="surrogateescape").decode(errors="replace")
                yield from open_files(inner, f"{file}{MEMBER}{name}", wanted, PurePosixPath(member.name), depth - 1)
            # The library keeps every member it has passed: of a million small files that would be a gigabyte.
            archive.members = []  # pyright: ignore[reportAttributeAccessIssue]


class _Member(tarfile.TarInfo):
    """A member of an archive. The library takes a damaged or missing header for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile)
        except (EmptyHeaderError, TruncatedHeaderError, InvalidHeaderError) as error:
            raise ReadError(f"the archive is damaged or cut off at byte {tarfile.offset:,}: {error}") from None


def _utf8(stream: IO[bytes], head: bytes) -> IO[bytes]:
    """The stream; one in UTF-16 or UTF-32, by its mark or by its zero bytes, as UTF-8."""
    encoding = next((name for mark, name in _BOMS.items() if head.startswith(mark)), None)
    if encoding is None and len(head) >= 16 and not head.startswith((b"PAR1", b"ARROW1")):
        even, odd = head[0::2].count(0), head[1::2].count(0)
        half = len(head) // 2
        encoding = (
            "utf-16-le" if odd > 0.4 * half and even < 0.05 * half else "utf-16-be" if even > 0.4 * half and odd < 0.05 * half else None
        )
    return io.BufferedReader(_Transcoded(stream, encoding), CHUNK) if encoding else stream


class _Raw(io.RawIOBase):
    """A readable stream with the interface that buffering wants."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Unpacked(io.RawIOBase):
    """What a source of byte strings yields: an empty one is the end."""

    def __init__(self) -> None:
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._plain:
            plain = self._next()
            if plain is None:
                return 0
            self._plain = memoryview(plain)
        size = min(len(buffer), len(self._plain))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def _next(self) -> bytes | None:
        """The next bytes, perhaps none yet; null at the end."""
        raise NotImplementedError


class _Transcoded(_Unpacked):
    """Text in another encoding as UTF-8. What cannot be decoded is U+FFFD."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        super().__init__()
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)("replace")

    def _next(self) -> bytes | None:
        data = self._stream.read(CHUNK)
        text = self._decoder.decode(data, final=not data)
        return text.encode(errors="replace") if data or text else None


class _ZstdStream(_Unpacked):
    """Zstandard frames, one after the other. The library's own reader takes a file that was cut off for one that ended."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._frame = None
        self._packed = b""

    def _next(self) -> bytes | None:
        packed = self._packed or self._file.read(CHUNK)
        self._packed = b""
        if not packed:
            if self._frame is not None:
                raise EOFError("the file ends inside a zstandard frame")
            return None
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        plain = self._frame.decompress(packed)
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return plain


_UNPACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"\x28\xb5\x2f\xfd": lambda stream: io.BufferedReader(_ZstdStream(stream), CHUNK),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""By the first bytes of the file."""

_NAMES = dict(zip(_UNPACKERS, ("gz", "zst", "bz2", "xz"), strict=True))
