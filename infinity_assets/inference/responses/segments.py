"""A folder of immutable Parquet files, called segments, with stored lines in the order in which they became visible.

A segment is named `<first>-<last>-<footer>-<digest>.parquet`. `first` and `last` are the times in ns at which its
oldest and its youngest line became visible; they differ only in merged segments. Times increase even if the clock goes
back, so names sort in the order of additions. `digest` is a hash of the whole file, `footer` of the Parquet footer.
Only neighboring segments are merged, and the merged segment covers their times. A segment whose times lie within those
of another is ignored: the process that replaced it was killed before it could remove it.

Every page has a checksum, so a look-up verifies the bytes that it reads, and does not have to read the others.

Two locks (`flock`, on hidden files) coordinate processes. One is held briefly around every listing and renaming, the
other while a process rewrites segments. The kernel releases them if a process is killed. Like
`infinity_assets.durable`, this module needs a POSIX file system.
"""

import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets.durable import flush
from infinity_assets.errors import InfinityError

ROW_GROUP = 8192
"""Number of lines in a Parquet row group, which is decoded as a whole."""
_DICTIONARY_COLUMNS = ["prompt", "finish_reason", "error", "cause"]
_NAME = re.compile(r"(\d{20})-(\d{20})-([0-9a-f]{8})-([0-9a-f]{16})\.parquet")


class DamagedSegment(InfinityError):
    """The content of a segment has changed since it was written."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}): `infinity responses verify --move-aside` takes it out of the store, and "
            "the next run repeats its requests."
        )
        self.path = path
        self.reason = reason


class Segment(NamedTuple):
    """A segment file, described by its name."""

    first: int
    """Time at which the oldest line became visible, in ns since 1970."""
    last: int
    """Time at which the youngest line became visible, in ns since 1970."""
    path: Path

    @property
    def intact(self) -> bool:
        """Return whether the content of the file matches the digest in its name."""
        return self.path.stem.endswith(_digest(self.path))

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.path.stat().st_size

    @contextmanager
    def open(self) -> Iterator[pq.ParquetFile]:
        """Open the segment for the duration of a `with` block.

        Raises:
            DamagedSegment: The file is damaged. Reading in the block raises this error, too.
            FileNotFoundError: Another process has merged the segment meanwhile.
        """
        try:
            with self.path.open("rb") as file:
                if _footer_digest(file) != self.path.stem.split("-")[2]:
                    raise pa.ArrowInvalid("its footer has changed")
                file.seek(0)
                with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False) as parquet:
                    yield parquet
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # a failure of the system, not of the file
            raise DamagedSegment(self.path, str(error).splitlines()[0]) from error


def read(file: pq.ParquetFile, columns: Sequence[str]) -> pl.DataFrame:
    """Read some columns of all lines of a segment."""
    return _to_frame(file.read(columns=list(columns)), file.metadata.num_rows)


def take(file: pq.ParquetFile, numbers: pl.Series) -> Iterator[pl.DataFrame]:
    """Read the lines with the given ascending line numbers. Row groups without such lines are skipped."""
    begin = 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        low, high = (numbers.search_sorted(edge) for edge in (begin, end))
        if high > low:
            # Arrow's `take` copies. A selection by Polars would keep all strings of the row group in memory.
            yield _to_frame(file.read_row_group(group), end - begin, numbers[low:high] - begin)
        begin = end


def _to_frame(table: pa.Table, lines: int, numbers: pl.Series | None = None) -> pl.DataFrame:
    # Checksums do not cover the type of a page, and Arrow skips pages of unknown types without an error.
    if table.num_rows != lines:
        raise pa.ArrowInvalid("it lacks lines")
    frame = pl.from_arrow(table if numbers is None else table.take(numbers.to_arrow()))
    assert isinstance(frame, pl.DataFrame)
    return frame


class Segments:
    """The segments of one folder, which may not exist yet."""

    def __init__(self, folder: Path):
        self.folder = folder

    def all(self) -> list[Segment]:
        """Return the valid segments, from the oldest to the youngest."""
        return self._list_segments()[0]

    def unrecognized_files(self) -> list[Path]:
        """Return the Parquet files that are not named like a segment. They are never read."""
        return [path for path in sorted(self.folder.glob("[!.]*.parquet")) if not _NAME.fullmatch(path.name)]

    def add(self, lines: pl.DataFrame) -> None:
        """Write lines as the youngest segment. Once written, they survive a crash of the process or the machine."""
        with self._temporary_file() as file:
            _write([lines], file)
            self._publish(file)

    def replace(self, old: Sequence[Segment], chunks: Iterable[pl.DataFrame]) -> None:
        """Replace neighboring segments by a single one with the lines of `chunks`, or by none if there are no lines.

        The caller must hold the lock of `hold_rewrite_lock`.
        """
        with self._temporary_file() as file:
            if _write(chunks, file):
                self._publish(file, (old[0].first, old[-1].last))
            self._remove(old)

    @contextmanager
    def hold_rewrite_lock(self, wait: bool) -> Iterator[bool]:
        """Hold the lock for rewriting and removing segments during a `with` block.

        Leftovers of killed processes are removed first. Other processes may add and read segments meanwhile. Yields
        False, without the lock, if another process holds it and `wait` is false.
        """
        with self._hold_lock(".rewriting", fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)) as mine:
            if mine:
                self._remove_leftovers()
            yield mine

    def _list_segments(self) -> tuple[list[Segment], list[Segment]]:
        """Return the valid segments, and the leftovers that a merged segment has replaced."""
        segments: list[Segment] = []
        covered: list[Segment] = []
        end = -1
        # Without the lock, a listing could miss both the old and the new names while another process swaps them.
        with self._hold_lock(".lock", fcntl.LOCK_SH):
            names = os.listdir(self.folder) if self.folder.is_dir() else []
        listed = [
            Segment(int(name[1]), int(name[2]), self.folder / name[0]) for name in map(_NAME.fullmatch, names) if name
        ]
        for segment in sorted(listed, key=lambda segment: (segment.first, -segment.last, segment.path)):
            (covered if segment.last <= end else segments).append(segment)
            end = max(end, segment.last)
        return segments, covered

    def _publish(self, file: IO[bytes], span: tuple[int, int] | None = None) -> None:
        file.flush()
        os.fsync(file.fileno())
        with open(file.name, "rb") as written:
            footer = _footer_digest(written)
            digest = _digest(Path(file.name))
        with self._hold_lock(".lock", fcntl.LOCK_EX):
            if span is None:
                names = filter(None, map(_NAME.fullmatch, os.listdir(self.folder)))
                now = max([time.time_ns(), *(int(name[2]) + 1 for name in names)])
                span = now, now
            os.rename(file.name, self.folder / f"{span[0]:020d}-{span[1]:020d}-{footer}-{digest}.parquet")
            flush(self.folder)

    def _remove(self, old: Sequence[Segment]) -> None:
        with self._hold_lock(".lock", fcntl.LOCK_EX):
            for segment in old:
                segment.path.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Remove replaced segments, and unfinished files without a lock, whose writers are dead."""
        self._remove(self._list_segments()[1])
        with self._hold_lock(".lock", fcntl.LOCK_EX):
            for path in self.folder.glob(".*.tmp"):
                with path.open("rb") as file:
                    if _flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
                        path.unlink()

    @contextmanager
    def _temporary_file(self) -> Iterator[IO[bytes]]:
        """Create a temporary file that is locked as long as its writer lives."""
        path = self.folder / f".{uuid.uuid4().hex}.tmp"
        with self._hold_lock(".lock", fcntl.LOCK_EX):
            file = path.open("xb")
            _flock(file.fileno(), fcntl.LOCK_EX)
        with file:
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def _hold_lock(self, name: str, how: int) -> Iterator[bool]:
        shared = bool(how & fcntl.LOCK_SH)
        if not shared:
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # nothing has been written yet
            yield True
            return
        try:
            yield _flock(descriptor, how)
        finally:
            # Unlock explicitly: a process forked meanwhile shares the descriptor, so closing it would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _write(chunks: Iterable[pl.DataFrame], file: IO[bytes]) -> int:
    """Write lines as Parquet and return the number of lines."""
    writer = None
    written = 0
    try:
        for chunk in _regroup(chunks):
            table = chunk.to_arrow()
            writer = writer or pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                use_dictionary=[name for name in _DICTIONARY_COLUMNS if name in table.column_names],
                write_statistics=False,
                write_page_checksum=True,
            )
            writer.write_table(table, row_group_size=ROW_GROUP)
            written += chunk.height
    finally:
        if writer:
            writer.close()
    return written


def _regroup(chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Concatenate chunks into larger ones: all but the last have at least `ROW_GROUP` lines."""
    held: list[pl.DataFrame] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(frame.height for frame in held) >= ROW_GROUP:
            yield pl.concat(held)
            held = []
    rest = pl.concat(held) if held else pl.DataFrame()
    if rest.height:
        yield rest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _footer_digest(file: IO[bytes]) -> str:
    """Return the digest of a Parquet file's footer. Its length precedes the last four bytes of the file."""
    end = file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
    file.seek(max(0, end - int.from_bytes(file.read(4), "little")))
    return hashlib.blake2b(file.read(), digest_size=4).hexdigest()
