"""Plain byte streams of files: decompressed, taken out of archives, and converted from UTF-16 or UTF-32 to UTF-8.

Damage raises an exception and never shortens a stream: the end of the stream is the end of the data.
"""

import bz2
import codecs
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from tarfile import EmptyHeaderError, EOFHeaderError, InvalidHeaderError, ReadError, TruncatedHeaderError  # pyrefly: ignore[missing-module-attribute]
from typing import IO, Any, NamedTuple

import zstandard

COMPRESSIONS = (".gz", ".zst", ".zstd", ".bz2", ".xz")
ARCHIVES = (".tar", ".zip", ".tgz", ".tbz2", ".txz")

DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
)
"""Errors from reading a damaged file. A zip member with an unsupported compression raises NotImplementedError, an
encrypted one RuntimeError."""

MAX_WINDOW = 2**27
"""Window size in bytes of `zstd --long=27`, which large open datasets use. The library's default is smaller."""

MAX_DEPTH = 4
"""Maximum nesting of archives and compressions."""

MEMBER = "!"
"""Separator between the path of an archive and the path of a file in it: `all.tar.zst!data/0.json`."""

CHUNK = 1 << 20

_PACKED = 1 << 12
"""Number of compressed bytes to read at once. Damage loses at most these, and they can expand a thousandfold."""

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte order mark, longest first because the mark of UTF-32 begins with the mark of UTF-16."""


_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
"""Encodings by the bytes of each four that are zero, in a text that is mostly ASCII or begins so (RFC 4627)."""

_BINARY = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
"""First bytes of Parquet and Arrow files."""

_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def is_archive(path: PurePosixPath | Path) -> bool:
    """Return whether a path has the suffix of an archive, compressed or not."""
    return plain_suffix(path) in ARCHIVES


def compression_of(head: bytes) -> str | None:
    """Return the compression that the first bytes of a file show: `gz`, `zst`, `bz2`, `xz` or `None`."""
    unpacker = _unpacker_of(head)
    return unpacker.suffix if unpacker else None


def _unpacker_of(head: bytes) -> "_Unpacker | None":
    return next((unpacker for magic, unpacker in _UNPACKERS.items() if head.startswith(magic)), None)


class Opened(NamedTuple):
    """One opened data file."""

    file: str
    """Path in the source; for a file in an archive, the archive's path, `!` and the path in it."""
    suffix: str
    """Suffix of the container in lower case: `.jsonl` for `train.jsonl.zst`."""
    stream: IO[bytes]
    """The bytes, decompressed while reading. Valid until the next file is opened."""


def plain_suffix(path: PurePosixPath | Path) -> str:
    """Return the suffix of the container in lower case, without compression: `.jsonl` for `train.jsonl.zst`."""
    suffix = path.suffix.lower()
    return plain_suffix(path.with_suffix("")) if suffix in COMPRESSIONS and path.stem != path.name else suffix


def open_files(
    stream: IO[bytes],
    file: str,
    wanted: Callable[[str], bool],
    name: PurePosixPath | None = None,
    depth: int = MAX_DEPTH,
) -> Iterator[Opened]:
    """Yield the data file in a stream, or all files in an archive in its order, without compression.

    The bytes of a file take precedence over its name.

    Args:
        stream: The bytes of the file.
        file: The path of the file in the source.
        wanted: Returns whether to read a path inside an archive.
        name: Path whose suffixes tell the format. Default: `file`.
        depth: Maximum number of further compressions and archives to open.

    Raises:
        OSError: The file is damaged, nested too deep, or not the data that its name promises. Any other error of
            `DAMAGE` can occur too, here or while a stream is read.
    """
    name = PurePosixPath(file) if name is None else name
    if depth < 0:
        raise OSError(f"more than {MAX_DEPTH} nested compressions or archives")
    buffered = stream if isinstance(stream, io.BufferedReader) else _buffered(_pieces_of(stream))
    head = buffered.peek(512)[:512]
    unpack = _unpacker_of(head)
    suffix = name.suffix.lower()
    packed = suffix in COMPRESSIONS
    if unpack:
        plain = io.BufferedReader(_Pieces(_decompress(buffered, unpack)), CHUNK)
        inner = name.with_suffix(".tar" if suffix in (".tgz", ".tbz2", ".txz") else "") if suffix else name
        yield from open_files(plain, file, wanted, inner, depth - 1)
    elif packed and _is_text(head):
        yield from open_files(buffered, file, wanted, name.with_suffix(""), depth - 1)
    elif packed or (not head and is_archive(name)):
        raise OSError(f"its suffix is {name.suffix} but it is {'not compressed that way' if head else 'empty'}")
    elif head.startswith(b"PK\x03\x04"):
        yield from _zip_members(buffered, file, wanted, depth)
    elif head[257:262] == b"ustar" or is_archive(name):
        yield from _tar_members(buffered, file, wanted, depth)
    elif head.startswith(_LFS):
        raise OSError("it is a git-lfs pointer, not the data: fetch the file with `git lfs pull`")
    elif ("js" in suffix or suffix == ".jl") and _HTML.match(head):
        raise OSError(f"its suffix is {suffix} but it is an HTML page")
    else:
        yield Opened(file, suffix, _utf8(buffered, head))


def _is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are UTF-8 without control characters."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and not _CONTROL.search(head)


def _zip_members(stream: IO[bytes], file: str, wanted: Callable[[str], bool], depth: int) -> Iterator[Opened]:
    seekable = stream if stream.seekable() else io.BytesIO(stream.read())
    with zipfile.ZipFile(seekable) as archive:
        for member in archive.infolist():
            if not member.is_dir() and wanted(member.filename):
                yield from _member(
                    lambda member=member: archive.open(member),
                    f"{file}{MEMBER}{member.filename}",
                    member.filename,
                    wanted,
                    depth,
                )


def _tar_members(stream: io.BufferedReader, file: str, wanted: Callable[[str], bool], depth: int) -> Iterator[Opened]:
    quiet = _Quiet(stream)
    try:
        with tarfile.open(fileobj=quiet, mode="r|", bufsize=CHUNK, tarinfo=_Member) as archive:  # pyrefly: ignore[no-matching-overload]
            for member in archive:
                if member.isfile() and wanted(member.name):
                    name = member.name.encode(errors="surrogateescape").decode(errors="replace")
                    data = _buffered(_tar_data(archive, member))
                    yield from _member(lambda data=data: data, f"{file}{MEMBER}{name}", member.name, wanted, depth)
                # The library keeps every member, which takes a gigabyte for a million small files.
                archive.members = []
    except tarfile.TarError as error:
        raise quiet.error or error from None
    if quiet.error:
        raise quiet.error


def _member(
    opened: Callable[[], IO[bytes]], file: str, path: str, wanted: Callable[[str], bool], depth: int
) -> Iterator[Opened]:
    """Yield the files of an archive member. A damaged one gives a stream that raises, so the rest is still read."""
    name = PurePosixPath(path)
    try:
        with opened() as stream:
            yield from open_files(stream, file, wanted, name, depth - 1)
    except DAMAGE as error:
        yield Opened(file, plain_suffix(name), _buffered(_fail(error)))


class _Member(tarfile.TarInfo):
    """A member of a tar archive. A bad header raises; the library would take it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            stream: Any = tarfile.fileobj
            while rest := stream.read(CHUNK):
                if rest.strip(b"\0"):
                    raise ReadError("the archive is damaged: there is data after its end") from None
            raise
        except (EmptyHeaderError, TruncatedHeaderError, InvalidHeaderError) as error:
            raise ReadError(f"the archive is damaged or cut off at byte {tarfile.offset:,}: {error}") from None


def _utf8(stream: io.BufferedReader, head: bytes) -> IO[bytes]:
    """Return the stream, converted to UTF-8 if its byte order mark or zero bytes show UTF-16 or UTF-32."""
    encoding = next((name for mark, name in _BOMS.items() if head.startswith(mark)), None)
    if encoding is None and b"\0" in head and not head.startswith(_BINARY):
        lanes = [head[lane::4] for lane in range(4)]
        zeros = tuple(lane.count(0) > 0.4 * len(lane) for lane in lanes)
        encoding = _ZEROS.get(zeros) or _ZEROS.get(tuple(byte == 0 for byte in head[:4]))
    return io.BufferedReader(_Pieces(_transcode(stream, encoding)), CHUNK) if encoding else stream


class _Pieces(io.RawIOBase):
    """A stream of the bytes that an iterator yields in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _buffered(pieces: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Pieces(pieces), 1 << 16)


def _pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a stream in pieces, up to any damage. One `read` would lose the bytes before the damage."""
    read = getattr(stream, "read1", stream.read)
    while data := read(1 << 16):
        yield data


class _Quiet:
    """A stream that ends at an error and keeps it in `error`. The tar library itself would lose the bytes before it."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end or after an error."""
        try:
            return b"" if self.error else self._stream.read1(size)
        except DAMAGE as error:
            self.error = error
            return b""


def _tar_data(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield the bytes of a member up to any damage. The library's own stream raises without returning them."""
    stream: Any = archive.extractfile(member) if member.issparse() else archive.fileobj
    left = member.size
    while left:
        data = stream.read(min(1 << 16, left))
        if not data:
            raise EOFError("the archive is damaged or cut off inside this file")
        left -= len(data)
        yield data


_UNDECODED = "infinity_undecoded"
codecs.register_error(_UNDECODED, lambda error: ("\udc81", error.end))


def _transcode(stream: io.BufferedReader, encoding: str) -> Iterator[bytes]:
    """Yield a text as UTF-8. Undecodable input becomes a byte that is not UTF-8, so that its repair is recorded."""
    decoder = codecs.getincrementaldecoder(encoding)(_UNDECODED)
    while data := stream.read1(CHUNK):
        yield decoder.decode(data).encode(errors="surrogateescape")
    yield decoder.decode(b"", final=True).encode(errors="surrogateescape")


def _decompress(file: io.BufferedReader, unpacker: "_Unpacker") -> Iterator[bytes]:
    """Yield the content of consecutive frames, also called streams or members.

    The libraries' own readers treat data after a frame as padding, or a truncated frame as complete.
    """
    frame = None
    packed = b""
    while packed := packed or file.read1(_PACKED):
        if frame is None:
            frame = unpacker.frame()
        yield frame.decompress(packed)
        packed = b""
        if frame.eof:
            packed = frame.unused_data.lstrip(b"\0") if unpacker.padded else frame.unused_data
            frame = None
    if frame is not None:
        raise EOFError(f"the file ends inside a {unpacker.name} stream")


def _fail(error: Exception) -> Iterator[bytes]:
    """Raise the error that prevented the opening of a stream, when the stream is read."""
    yield from ()
    raise error


class _Unpacker(NamedTuple):
    """A compression format."""

    name: str
    suffix: str
    frame: Callable[[], Any]
    """Returns a decompressor of one frame with `decompress`, `eof` and `unused_data`."""
    padded: bool = False
    """True if zero bytes may occur between frames and at the end."""


_ZSTD = _Unpacker("zstandard", "zst", lambda: zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj())
_UNPACKERS: dict[bytes, _Unpacker] = {
    b"\x1f\x8b": _Unpacker("gzip", "gz", lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), padded=True),
    b"\x28\xb5\x2f\xfd": _ZSTD,
    **{bytes([0x50 + number]) + b"\x2a\x4d\x18": _ZSTD for number in range(16)},
    b"BZh": _Unpacker("bzip2", "bz2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": _Unpacker("xz", "xz", lzma.LZMADecompressor, padded=True),
}
"""Compressions by the first bytes of a file. A zstandard file may begin with a skippable frame (16 forms)."""
