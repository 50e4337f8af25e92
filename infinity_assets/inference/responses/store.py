"""The response store: append-only segments under `<root>/<kind>/<model>/`, whose lines are found by request key.

Any number of processes may read, append and compact at the same time. A killed process loses only lines that it had not
yet appended (see `responses.segments`). Lines never change, and the first answer to a request stays valid forever, so
equal requests get equal answers.

A key may have several lines, because it covers neither the `max_tokens` of the request nor the context window of the
model. A line answers a request if the model would answer it in the same way again, which is so in three cases:

* The `max_tokens` are equal. This is required if the answer was cut there, or if the error is `invalid_request`.
* The answer ended by itself and is no longer than the `max_tokens` of the request.
* The error is `prompt_too_long`, and the `max_tokens` of the request are no smaller than those of the line.

If a context window caused the line (`prompt_too_long`, a `cut` score), that window must also be at least as large as
the present one. The first line that meets these conditions is returned.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from infinity_assets.inference.requests import INVALID_REQUEST, PROMPT_TOO_LONG, Kind
from infinity_assets.inference.responses.segments import DamagedSegment, Segment, Segments, read, take
from infinity_assets.inference.weights.models import slug
from infinity_assets.rows.frames import conform

RESPONSES = pl.Schema(
    {
        "key": pl.String, "prompt": pl.String, "max_tokens": pl.Int64,
        "text": pl.String, "finish_reason": pl.String, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
        "seconds": pl.Float64, "error": pl.String, "cause": pl.String,
        "sum_logprob": pl.Float64, "answer_tokens": pl.Int64, "choice_logprobs": pl.List(pl.Float64),
        "reward": pl.Float64, "window": pl.Int64, "reasoning": pl.String,
    }
)  # fmt: skip
"""Schema of stored answers. `max_tokens` is null for scores and rewards. The columns after it are a `Response`."""

EMBEDDINGS = pl.Schema({"key": pl.String, "vector": pl.Array(pl.Float32, 1)})
"""Schema with one line per embedded text. The width of the array depends on the model."""

LARGE = 64 * 2**20
"""Segments of this size in bytes or more are not merged, which bounds how often a line is rewritten."""

_KEYS = 1_000_000
"""Minimum number of stored keys per join, except in the last join."""
_DECISIVE = ["key", "max_tokens", "finish_reason", "completion_tokens", "error", "window"]
"""Columns that decide which requests a line answers. Of several lines with equal values, only the first is used."""

_KEY = "^[0-9a-f]{32}$"


class ResponseStore:
    """A response store in a folder. Methods that read lines raise `DamagedSegment` if a file has changed."""

    def __init__(self, root: Path):
        self.root = root

    def get(
        self,
        kind: Kind,
        model: str,
        keys: Sequence[str] | pl.Series,
        rooms: Sequence[int] | pl.Series | None = None,
        window: int | None = None,
    ) -> pl.DataFrame:
        """Return the stored lines that answer requests, in no particular order.

        Args:
            model: `weights_id` of the model.
            rooms: Maximum number of answer tokens of each request; 0 for scores and rewards. With rooms, the result has
                at most one line per (key, room), and `room` as its last column; without, the first line of every key.
            window: The model's `max_model_len`. Lines that a smaller context window caused are left out, unless this
                or `rooms` is None.
        """
        pairs = {"key": pl.String} if rooms is None else {"key": pl.String, "room": pl.Int64}
        wanted = pl.DataFrame(dict(zip(pairs, (keys, rooms), strict=False)), schema=pairs).unique()
        segments = self._segments(kind, model)
        while True:
            try:
                parts = [*_find_lines(segments.all(), wanted, kind)]
            except FileNotFoundError:  # another process has just merged the segment
                continue
            break
        if not parts:
            parts = [pl.DataFrame(schema=EMBEDDINGS if kind == "embed" else RESPONSES)]
        lines = pl.concat(parts)
        if rooms is not None:
            lines = lines.join(wanted, on="key", how="inner", maintain_order="left").filter(_answers_request(window))
        return lines.unique([*pairs], keep="first", maintain_order=True)

    def append(self, kind: Kind, model: str, lines: pl.DataFrame) -> None:
        """Store lines. Once stored, they survive a crash of the process or the machine."""
        if not lines.is_empty():
            self._segments(kind, model).add(lines if kind == "embed" else conform(lines, RESPONSES, fill=True))

    def compact(self, above: int = 1, kind: Kind | None = None, model: str | None = None) -> None:
        """Merge the small segments of every model, or of one, that has more than `above` of them.

        A merge adds older segments as long as each is no larger than all younger ones together. It adds more of them if
        otherwise more than `above` segments would remain. So the number of times that a line is rewritten grows with
        the logarithm of the store's size. Segments of `LARGE` bytes or more are left alone. Other processes may read
        and append meanwhile. A folder that another process is compacting is skipped.
        """
        named = None if kind is None or model is None else self._segments(kind, model).folder
        for folder_kind, _, segments in self._folders():
            if named is not None and segments.folder != named:
                continue
            with segments.hold_rewrite_lock(wait=False) as mine:
                for group in _groups(segments.all(), above) if mine else ():
                    segments.replace(group, _merge(group, folder_kind))

    def sizes(self) -> pl.DataFrame:
        """Return one row per kind and model: kind, model (the name of its folder), segments (a count), bytes."""
        rows = [(kind, model, segment.size) for kind, model, _, segment in self._visit()]
        sizes = pl.DataFrame(rows, schema={"kind": pl.String, "model": pl.String, "bytes": pl.Int64}, orient="row")
        return sizes.group_by("kind", "model", maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("segments"), pl.col("bytes").sum()
        )

    def stats(self) -> pl.DataFrame:
        """Return the columns lines, prompt_tokens and completion_tokens per kind, model, prompt and error.

        The error is null for usable answers, and the prompt is null for vectors.
        """
        by, tokens = ["prompt", "error"], ["prompt_tokens", "completion_tokens"]
        names = dict.fromkeys(["kind", "model", *by], pl.String)
        parts = [pl.DataFrame(schema={**names, **dict.fromkeys(["lines", *tokens], pl.Int64)})]
        summed = [pl.len().cast(pl.Int64).alias("lines"), pl.col(tokens).sum()]
        for kind, model, _, segment in self._visit():
            with segment.open() as file:
                lines = _read_columns(file, ["key", *by, *tokens])
            names_of_segment = pl.lit(kind).alias("kind"), pl.lit(model).alias("model")
            parts.append(lines.group_by(by).agg(summed).select(*names_of_segment, pl.all()))
        return pl.concat(parts).group_by(list(names)).sum().sort(list(names))

    def verify(self) -> Iterator[DamagedSegment]:
        """Yield errors for changed bytes, invalid keys, non-finite vectors, and files not named like a segment."""
        for _, _, segments in self._folders():
            for path in segments.unrecognized_files():
                yield DamagedSegment(path, "it is not named like a segment and is never read")
        for kind, _, _, segment in self._visit():
            if reason := _find_fault(segment, kind):
                yield DamagedSegment(segment.path, reason)

    def move_aside(self, damages: Iterable[DamagedSegment]) -> Path:
        """Move damaged files out of the store, into the folder `<root>.damaged`, and return that folder."""
        aside = self.root.with_name(f"{self.root.name}.damaged")
        for path in (damage.path for damage in damages):
            place = aside / path.relative_to(self.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            with Segments(path.parent).hold_rewrite_lock(wait=True):
                shutil.move(path, place)
        return aside

    def prune(self, keep: pl.Series, before: int, embeddings: bool = False, dry_run: bool = False) -> pl.DataFrame:
        """Remove all lines except those with the given keys.

        Args:
            keep: The keys to keep.
            before: Time in ns since 1970. Segments with a line from this time or later are left alone.
            embeddings: Prune vectors, too.
            dry_run: Remove nothing.

        Returns:
            One row per kind and model: kind, model, lines, removed, too_young (lines kept only because their segment
            is too young), freed (estimated bytes).
        """
        kept = pl.DataFrame({"key": keep}, schema={"key": pl.String}).unique()
        rows = []
        for kind, model, segments, segment in self._visit(embeddings):
            with segment.open() as file:
                size = segment.size
                keys = _read_keys(file)
            stay = keys.join(kept, on="key", how="semi", maintain_order="left")["number"]
            gone = keys.height - stay.len()
            if segment.last >= before:
                rows.append((kind, model, keys.height, 0, gone, 0))
                continue
            if gone and not dry_run:
                segments.replace([segment], _read_lines(segment, stay, kind))
            rows.append((kind, model, keys.height, gone, 0, size * gone // keys.height))
        counts = dict.fromkeys(["lines", "removed", "too_young", "freed"], pl.Int64)
        frame = pl.DataFrame(rows, schema={"kind": pl.String, "model": pl.String, **counts}, orient="row")
        return frame.group_by("kind", "model", maintain_order=True).sum()

    def forget(self, errors: Sequence[str], dry_run: bool = False) -> int:
        """Remove the lines with one of these errors, so that their requests are sent again. Return their number."""
        removed = 0
        for kind, _, segments, segment in self._visit(embeddings=False):
            with segment.open() as file:
                lines = read(file, ["error"]).with_row_index("number")
            stay = lines.filter(~pl.col("error").is_in(errors).fill_null(False))["number"]
            gone = lines.height - stay.len()
            if gone and not dry_run:
                segments.replace([segment], _read_lines(segment, stay, kind))
            removed += gone
        return removed

    def _segments(self, kind: Kind, model: str) -> Segments:
        return Segments(self.root / kind / slug(model))

    def _folders(self) -> Iterator[tuple[Kind, str, Segments]]:
        for kind in get_args(Kind):
            for folder in sorted(self.root.glob(f"{kind}/*/")):
                yield kind, folder.name, Segments(folder)

    def _visit(self, embeddings: bool = True) -> Iterator[tuple[Kind, str, Segments, Segment]]:
        """Yield every segment. Meanwhile, no other process may rewrite the segments of its folder."""
        for kind, model, segments in self._folders():
            if kind != "embed" or embeddings:
                with segments.hold_rewrite_lock(wait=True):
                    for segment in segments.all():
                        yield kind, model, segments, segment


def _answers_request(window: int | None) -> pl.Expr:
    """Return an expression that is true if a line answers a request for at most `room` tokens."""
    in_room = (
        pl.when(pl.col("error").eq_missing(PROMPT_TOO_LONG))
        .then(pl.col("max_tokens") <= pl.col("room"))
        .when(pl.col("error").eq_missing(INVALID_REQUEST) | pl.col("finish_reason").eq_missing("length"))
        .then(False)
        .otherwise(pl.col("completion_tokens") <= pl.col("room"))
    )
    asked_alike = pl.col("max_tokens").is_null() | (pl.col("max_tokens") == pl.col("room"))
    in_window = pl.lit(True) if window is None else pl.col("window").is_null() | (pl.col("window") >= window)
    return in_window & (asked_alike | in_room)


def _find_lines(segments: list[Segment], wanted: pl.DataFrame, kind: Kind) -> Iterator[pl.DataFrame]:
    """Yield the lines with wanted keys, in the order of the store."""
    keys: list[pl.DataFrame] = []
    held = 0
    for place, segment in enumerate(segments):
        with segment.open() as file:
            keys.append(_read_keys(file).with_columns(place=place))
            held += file.metadata.num_rows
        if held >= _KEYS or place + 1 == len(segments):
            # One join for many segments, because each join costs as much as hashing all wanted keys.
            matches = pl.concat(keys).join(wanted, on="key", how="semi", maintain_order="left")
            for at, numbers in matches.group_by("place", maintain_order=True).agg("number").iter_rows():
                yield from _read_lines(segments[at], pl.Series(numbers, dtype=pl.UInt32), kind)
            keys = []
            held = 0


def _merge(group: list[Segment], kind: Kind) -> Iterator[pl.DataFrame]:
    """Yield the lines of neighboring segments, without lines that are never returned for a request."""
    decisive = ["key"] if kind == "embed" else _DECISIVE
    seen = []
    for place, segment in enumerate(group):
        with segment.open() as file:
            seen.append(_read_columns(file, decisive).with_row_index("number").with_columns(place=place))
    first = pl.concat(seen).unique(decisive, keep="first", maintain_order=True)
    stay = dict(first.group_by("place", maintain_order=True).agg("number").iter_rows())
    for place, segment in enumerate(group):
        yield from _read_lines(segment, pl.Series(stay.get(place, []), dtype=pl.UInt32), kind)


def _read_lines(segment: Segment, numbers: pl.Series, kind: Kind) -> Iterator[pl.DataFrame]:
    with segment.open() as file:
        yield from (lines if kind == "embed" else conform(lines, RESPONSES, fill=True) for lines in take(file, numbers))


def _read_columns(file: pq.ParquetFile, columns: list[str]) -> pl.DataFrame:
    """Read some columns of all lines. Columns that the segment lacks are null."""
    lines = read(file, [name for name in columns if name in file.schema_arrow.names])
    return conform(lines, pl.Schema({name: RESPONSES[name] for name in columns}), fill=True)


def _read_keys(file: pq.ParquetFile) -> pl.DataFrame:
    return read(file, ["key"]).with_row_index("number")


def _find_fault(segment: Segment, kind: Kind) -> str | None:
    """Return the reason why a segment is damaged, or None if it is intact."""
    if not segment.intact:
        return "its bytes have changed"
    try:
        with segment.open() as file:
            lines = read(file, ["key", "vector"] if kind == "embed" else ["key"])
        if not lines["key"].str.contains(_KEY).fill_null(False).all():
            return "it holds invalid keys"
        if kind == "embed" and not np.isfinite(lines["vector"].to_numpy()).all():
            return "it holds vectors that are not finite"
    except DamagedSegment as damaged:
        return damaged.reason
    return None


def _groups(segments: list[Segment], above: int, large: int = LARGE) -> list[list[Segment]]:
    """Return the groups of two or more neighboring segments that should be merged. Large segments separate them."""
    runs = (list(run) for is_small, run in groupby(segments, lambda segment: segment.size < large) if is_small)
    return [group for run in runs for group in _group_run(run, above, large)]


def _group_run(segments: list[Segment], above: int, large: int) -> list[list[Segment]]:
    """Return the groups to merge among neighboring small segments."""
    groups: list[list[Segment]] = []
    left = list(segments)
    while len(left) + len(groups) > above and left:
        group = [left.pop()]
        size = group[0].size
        while left and size < large and (left[-1].size <= size or len(left) + len(groups) + 1 > above):
            group.insert(0, left.pop())
            size += group[0].size
        groups.append(group)
    return [group for group in groups if len(group) > 1]
