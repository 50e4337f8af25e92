"""A folder of immutable Parquet segments: the lines that were added to it, in the order in which they became visible.

A segment is called `<first>-<last>-<footer>-<digest>.parquet`. First and last are the nanoseconds at which its oldest and its youngest line
became visible, and equal unless it was merged; a clock that goes back is overruled, so that the order of the names is the order of the
additions. The digest is that of its bytes, `footer` that of its footer alone. Merged segments are neighbours, and what replaces them spans
their times: so a segment whose times lie within those of another is what a process left that was killed before it could remove it, and counts
for nothing.

Every page has a checksum besides: so what a look-up reads of a segment is known to be what was written, and what it does not need is not read.

Two locks (`flock`, on hidden files) keep processes apart, and the kernel drops them when one is killed: a short one around every listing and
every change of names, and one that a process holds while it rewrites segments. POSIX file systems only, as `inference.responses.durable`.
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
"""Lines that are decoded together."""
_REPETITIVE = ["prompt", "finish_reason", "error", "cause"]
_NAME = re.compile(r"(\d{20})-(\d{20})-([0-9a-f]{8})-([0-9a-f]{16})\.parquet")


class DamagedSegment(InfinityError):
    """A segment holds something else than what was written."""

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path} is damaged ({reason}): `infinity responses verify --move-aside` takes it out of the store, and the next run asks again "
            "what it held."
        )
        self.path, self.reason = path, reason


class Segment(NamedTuple):
    """One file, by its name."""

    first: int
    """When its oldest line became visible, in ns since 1970."""
    last: int
    """When its youngest line did."""
    path: Path

    @property
    def intact(self) -> bool:
        """Whether its bytes are those that its name tells."""
        return self.path.stem.endswith(_digest(self.path))

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size

    @contextmanager
    def open(self) -> Iterator["Reading"]:
        """Its lines, for the block. Raises `DamagedSegment` for whatever in the block finds it damaged, and `FileNotFoundError` if it was
        merged meanwhile.
        """
        try:
            with self.path.open("rb") as file:
                if _footer_digest(file) != self.path.stem.split("-")[2]:
                    raise pa.ArrowInvalid("its footer is not what was written")
                file.seek(0)
                with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False) as parquet:
                    yield Reading(parquet)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the system's, not the file's
            raise DamagedSegment(self.path, str(error).splitlines()[0]) from error


class Reading:
    """An open segment."""

    def __init__(self, parquet: pq.ParquetFile):
        self._parquet = parquet
        self.columns: list[str] = parquet.schema_arrow.names
        self.lines: int = parquet.metadata.num_rows

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """All lines of those columns."""
        return self._frame(self._whole(self._parquet.read(columns=list(columns)), self.lines))

    def chunks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """All lines of those columns, a row group at a time."""
        for group in range(self._parquet.num_row_groups):
            lines = self._parquet.metadata.row_group(group).num_rows
            yield self._frame(self._whole(self._parquet.read_row_group(group, columns=list(columns)), lines))

    def take(self, numbers: pl.Series) -> Iterator[pl.DataFrame]:
        """The lines of those numbers (ascending); row groups without one are not read."""
        metadata = self._parquet.metadata
        begin = 0
        for group in range(metadata.num_row_groups):
            end = begin + metadata.row_group(group).num_rows
            low, high = (numbers.search_sorted(edge) for edge in (begin, end))
            if high > low:
                # Arrow copies what it takes; Polars would keep all strings of the group alive.
                taken = self._whole(self._parquet.read_row_group(group), end - begin).take(
                    (numbers[low:high] - begin).to_arrow()
                )
                yield self._frame(taken)
            begin = end

    @staticmethod
    def _whole(table: pa.Table, lines: int) -> pa.Table:
        # The type of a page has no checksum, and Arrow passes over pages of a type that it does not know.
        if table.num_rows != lines:
            raise pa.ArrowInvalid("lines are missing")
        return table

    @staticmethod
    def _frame(table: pa.Table) -> pl.DataFrame:
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame


class Segments:
    """The segments of one folder, which need not exist yet."""

    def __init__(self, folder: Path):
        self.folder = folder

    def all(self) -> list[Segment]:
        """Those that count, in the order of their lines."""
        return self._listed()[0]

    def strangers(self) -> list[Path]:
        """Parquet files that bear no segment's name: they are never read."""
        return [path for path in sorted(self.folder.glob("[!.]*.parquet")) if not _NAME.fullmatch(path.name)]

    def add(self, lines: pl.DataFrame) -> None:
        """Write lines as a segment, after all that are there. When this returns they survive a crash of the process and of the machine."""
        with self._temporary() as file:
            _write([lines], file)
            self._publish(file, None, ())

    def replace(self, old: Sequence[Segment], chunks: Iterable[pl.DataFrame]) -> None:
        """Put one segment of those lines in the place of neighbours, or none if there are no lines. Only while `alone`."""
        with self._temporary() as file:
            if _write(chunks, file):
                self._publish(file, (old[0].first, old[-1].last), old)
            else:
                self._remove(old)

    @contextmanager
    def alone(self, wait: bool) -> Iterator[bool]:
        """Whether, for the block, no other process rewrites or removes segments of this folder. What killed ones left is cleared away first.

        Others may add and read meanwhile.
        """
        with self._locked(".rewriting", fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)) as mine:
            if mine:
                self._clear()
            yield mine

    def _listed(self) -> tuple[list[Segment], list[Segment]]:
        """Those that count, and those that do not."""
        segments, covered, end = [], [], -1
        # Under the lock: a listing taken while another process swaps names may see neither the old ones nor the new one.
        with self._locked(".lock", fcntl.LOCK_SH):
            names = os.listdir(self.folder) if self.folder.is_dir() else []
        found = [
            Segment(int(name[1]), int(name[2]), self.folder / name[0]) for name in map(_NAME.fullmatch, names) if name
        ]
        for segment in sorted(found, key=lambda segment: (segment.first, -segment.last, segment.path)):
            (covered if segment.last <= end else segments).append(segment)
            end = max(end, segment.last)
        return segments, covered

    def _publish(self, file: IO[bytes], span: tuple[int, int] | None, old: Sequence[Segment]) -> None:
        file.flush()
        os.fsync(file.fileno())
        with open(file.name, "rb") as written:
            footer, digest = _footer_digest(written), _digest(Path(file.name))
        with self._locked(".lock", fcntl.LOCK_EX):
            if span is None:
                names = filter(None, map(_NAME.fullmatch, os.listdir(self.folder)))
                now = max([time.time_ns(), *(int(name[2]) + 1 for name in names)])
                span = now, now
            os.rename(file.name, self.folder / f"{span[0]:020d}-{span[1]:020d}-{footer}-{digest}.parquet")
            flush(self.folder)
            for segment in old:
                segment.path.unlink(missing_ok=True)

    def _remove(self, old: Sequence[Segment]) -> None:
        with self._locked(".lock", fcntl.LOCK_EX):
            for segment in old:
                segment.path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove replaced segments, and files that were being written by processes that are dead: those hold no lock."""
        self._remove(self._listed()[1])
        with self._locked(".lock", fcntl.LOCK_EX):
            for path in self.folder.glob(".*.tmp"):
                with path.open("rb") as file:
                    if _flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
                        path.unlink()

    @contextmanager
    def _temporary(self) -> Iterator[IO[bytes]]:
        """A file to write, which says by a lock that its writer lives."""
        path = self.folder / f".{uuid.uuid4().hex}.tmp"
        with self._locked(".lock", fcntl.LOCK_EX):
            file = path.open("xb")
            _flock(file.fileno(), fcntl.LOCK_EX)
        with file:
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[bool]:
        shared = bool(how & fcntl.LOCK_SH)
        if not shared:
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # nobody has written here
            yield True
            return
        try:
            yield _flock(descriptor, how)
        finally:
            # In so many words: a process forked meanwhile has the descriptor too, and closing ours would leave it locked.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _write(chunks: Iterable[pl.DataFrame], file: IO[bytes]) -> int:
    """Write lines as Parquet; returns their number."""
    writer, written = None, 0
    try:
        for chunk in _evenly(chunks):
            table = chunk.to_arrow()
            writer = writer or pq.ParquetWriter(
                file,
                table.schema,
                compression="zstd",
                use_dictionary=[name for name in _REPETITIVE if name in table.column_names],  # pyright: ignore[reportArgumentType]
                write_statistics=False,
                write_page_checksum=True,
            )
            writer.write_table(table, row_group_size=ROW_GROUP)
            written += chunk.height
    finally:
        if writer:
            writer.close()
    return written


def _evenly(chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same lines, at least a row group at a time."""
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
    """Of the metadata at the end of a Parquet file, whose length stands before the last four bytes."""
    end = file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
    file.seek(max(0, end - int.from_bytes(file.read(4), "little")))
    return hashlib.blake2b(file.read(), digest_size=4).hexdigest()
