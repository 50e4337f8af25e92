"""The record of every answer a model gave: append-only segments under `<root>/<kind>/<model>/`, keyed by the content of the request.

Any number of processes may read, append and compact at once; a killed one loses what it had not yet appended and nothing else
(`responses.segments`). Nothing is ever changed, and the first answer that was stored holds for ever, so that all who ask the same get the same.

A key may have several lines, because what a request may write (`max_tokens`) and the model's window are no part of it. A line holds for a
request if it would have been the request's answer too:

* asked with the very `max_tokens` of the request; or
* ended by itself, within the request's `max_tokens`; or `prompt_too_long` for a request that may write no less;
* and, where a window made it (`prompt_too_long`, a score that was `cut`), under one no smaller than the present.

An answer that was cut at `max_tokens`, and one that the server would not read (`invalid_request`), hold for that `max_tokens` only. Of the
lines that hold, the first is given.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import polars as pl

from infinity_assets.inference.requests import INVALID_REQUEST, PROMPT_TOO_LONG, Kind
from infinity_assets.inference.responses.segments import DamagedSegment, Reading, Segment, Segments
from infinity_assets.inference.weights.models import slug

RESPONSES = pl.Schema(
    {
        "key": pl.String,
        "prompt": pl.String,
        "max_tokens": pl.Int64,
        "text": pl.String,
        "finish_reason": pl.String,
        "prompt_tokens": pl.Int64,
        "completion_tokens": pl.Int64,
        "seconds": pl.Float64,
        "error": pl.String,
        "cause": pl.String,
        "sum_logprob": pl.Float64,
        "answer_tokens": pl.Int64,
        "choice_logprobs": pl.List(pl.Float64),
        "reward": pl.Float64,
        "window": pl.Int64,
    }
)
"""A line per answer of a language model: the key, the name of the prompt, the `max_tokens` it was asked with (null for a score), and the fields
of `requests.Response`.
"""

EMBEDDINGS = pl.Schema({"key": pl.String, "vector": pl.Array(pl.Float32, 1)})
"""A line per vector. The width of the array is that of the model."""

LARGE = 64 * 2**20
"""Segments of this many bytes are not merged any more, so that a line is rewritten a few times and not for ever."""

_KEYS = 1_000_000
"""Keys of the store that are in memory together, at least."""
_DECISIVE = ["key", "max_tokens", "finish_reason", "completion_tokens", "error", "window"]
"""What decides whether a line holds: of lines that are equal in these, all but the first are of no use to anybody."""


_KEY = "^[0-9a-f]{32}$"


class Damage(NamedTuple):
    """A file that cannot be trusted, and why."""

    path: Path
    reason: str


class ResponseStore:
    """The answers under one folder, read and appended by any number of processes."""

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
        """The stored lines that answer requests, in no particular order.

        Args:
            kind: What was asked for.
            model: The model's identity.
            keys: The keys of the requests.
            rooms: What each request may write, in tokens; 0 for a score. The lines that hold for (key, room) are found, one for each of these
                pairs that has one, with `room` as their last column. Without rooms, the first line of every key.
            window: The model's `max_model_len`. Without it, lines hold whatever window made them.

        Raises:
            DamagedSegment: The bytes that were read are not those that were written.
        """
        pairs = {"key": keys} if rooms is None else {"key": keys, "room": rooms}
        wanted = pl.DataFrame(
            pairs, schema={"key": pl.String, "room": pl.Int64} if "room" in pairs else {"key": pl.String}
        ).unique()
        segments = self._segments(kind, model)
        while True:
            try:
                found = [*_matching(segments.all(), wanted, kind)]
            except FileNotFoundError:  # another process has just merged it
                continue
            break
        if not found:
            found = [pl.DataFrame(schema=EMBEDDINGS if kind == "embed" else RESPONSES)]
        lines = pl.concat(found)
        if rooms is not None:
            lines = lines.join(wanted, on="key", how="inner", maintain_order="left").filter(_holds(window))
        return lines.unique(list(pairs), keep="first", maintain_order=True)

    def append(self, kind: Kind, model: str, lines: pl.DataFrame) -> None:
        """Add lines, durably: when this returns they survive a crash of the process and of the machine."""
        if not lines.is_empty():
            self._segments(kind, model).add(lines if kind == "embed" else conform(lines, RESPONSES))

    def compact(self, above: int = 1, kind: Kind | None = None, model: str | None = None) -> None:
        """Merge small segments of every model that has more than `above` of them; of one model only, if it is named.

        Newer ones are merged with as many older ones as are no larger than all that are newer together, and with more where else more than
        `above` would be left: so a line is rewritten as often as the logarithm of the store's size. Segments of `LARGE` bytes stay as they
        are. Other processes may read and append meanwhile; where one is compacting already, that is enough.
        """
        named = None if kind is None or model is None else self._segments(kind, model).folder
        for of, _, segments in self._folders():
            if named is not None and segments.folder != named:
                continue
            with segments.alone(wait=False) as mine:
                for group in _groups(segments.all(), above) if mine else ():
                    segments.replace(group, _merged(group, of))

    def sizes(self) -> pl.DataFrame:
        """A line per kind and model: kind, model (as its folder is called), segments, bytes."""
        schema = {"kind": pl.String, "model": pl.String, "segments": pl.Int64, "bytes": pl.Int64}
        lines = []
        for kind, model, segments in self._folders():
            with segments.alone(wait=True):
                sizes = [segment.size for segment in segments.all()]
            lines.append((kind, model, len(sizes), sum(sizes)))
        return pl.DataFrame(lines, schema=schema, orient="row")

    def stats(self) -> pl.DataFrame:
        """A line per kind, model, prompt and class of error (null where there is none; vectors have no prompt): lines, prompt_tokens,
        completion_tokens.
        """
        by, tokens = ["prompt", "error"], ["prompt_tokens", "completion_tokens"]
        names = dict.fromkeys(["kind", "model", *by], pl.String)
        parts = [pl.DataFrame(schema={**names, **dict.fromkeys(["lines", *tokens], pl.Int64)})]
        for kind, model, segments in self._folders():
            with segments.alone(wait=True):
                for segment in segments.all():
                    with segment.open() as reading:
                        lines = _told(reading, ["key", *by, *tokens])
                    summed = [pl.len().cast(pl.Int64).alias("lines"), pl.col(tokens).sum()]
                    parts.append(
                        lines.group_by(by)
                        .agg(summed)
                        .select(pl.lit(kind).alias("kind"), pl.lit(model).alias("model"), pl.all())
                    )
        return pl.concat(parts).group_by(list(names)).sum().sort(list(names))

    def verify(self) -> Iterator[Damage]:
        """The files that cannot be trusted: bytes that are not those that were written, keys that are none, vectors that are not finite."""
        for kind, _, segments in self._folders():
            yield from (
                Damage(path, "it does not bear a segment's name, and is never read") for path in segments.strangers()
            )
            with segments.alone(wait=True):
                for segment in segments.all():
                    if reason := _fault(segment, kind):
                        yield Damage(segment.path, reason)

    def move_aside(self, damages: Iterable[Damage]) -> Path:
        """Take files out of the store, into a folder beside it, which is returned."""
        aside = self.root.with_name(f"{self.root.name}.damaged")
        for path, _ in damages:
            place = aside / path.relative_to(self.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            with Segments(path.parent).alone(wait=True):
                shutil.move(path, place)
        return aside

    def prune(self, keep: pl.Series, before: int, embeddings: bool = False, dry_run: bool = False) -> pl.DataFrame:
        """Remove the lines of keys that are not to be kept.

        Args:
            keep: The keys to keep.
            before: Segments with a line that came after this time (ns since 1970) stay as they are.
            embeddings: Whether vectors are looked at, too.
            dry_run: Remove nothing.

        Returns:
            A line per kind and model: kind, model, lines, removed, too_young (lines that only their segment's age has kept), freed (bytes; an
            estimate in a dry run).
        """
        kept = pl.DataFrame({"key": keep}, schema={"key": pl.String}).unique()
        told = []
        for kind, model, segments in self._folders():
            if kind == "embed" and not embeddings:
                continue
            lines = removed = young = freed = 0
            with segments.alone(wait=True):
                for segment in segments.all():
                    with segment.open() as reading:
                        size, here = segment.size, _keys(reading)
                    stay = here.join(kept, on="key", how="semi", maintain_order="left")["number"]
                    lines, gone = lines + here.height, here.height - stay.len()
                    if segment.last >= before:
                        young += gone
                    elif gone:
                        if not dry_run:
                            segments.replace([segment], _taken(segment, stay, kind))
                        removed, freed = removed + gone, freed + size * gone // here.height
            told.append((kind, model, lines, removed, young, freed))
        schema = {
            "kind": pl.String,
            "model": pl.String,
            **dict.fromkeys(["lines", "removed", "too_young", "freed"], pl.Int64),
        }
        return pl.DataFrame(told, schema=schema, orient="row")

    def forget(self, errors: Sequence[str], dry_run: bool = False) -> int:
        """Remove the lines that have one of these errors, and say how many there were: their requests are asked again."""
        gone = 0
        for kind, _, segments in self._folders():
            if kind == "embed":
                continue
            with segments.alone(wait=True):
                for segment in segments.all():
                    with segment.open() as reading:
                        lines = reading.read(["error"]).with_row_index("number")
                    stay = lines.filter(~pl.col("error").is_in(errors).fill_null(False))["number"]
                    if stay.len() < lines.height and not dry_run:
                        segments.replace([segment], _taken(segment, stay, kind))
                    gone += lines.height - stay.len()
        return gone

    def _segments(self, kind: Kind, model: str) -> Segments:
        return Segments(self.root / kind / slug(model))

    def _folders(self) -> Iterator[tuple[Kind, str, Segments]]:
        for kind in get_args(Kind):
            for folder in sorted(self.root.glob(f"{kind}/*/")):
                yield kind, folder.name, Segments(folder)


def _holds(window: int | None) -> pl.Expr:
    """Whether a line answers a request that may write `room` tokens."""
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


def _matching(segments: list[Segment], wanted: pl.DataFrame, kind: Kind) -> Iterator[pl.DataFrame]:
    """The lines whose key is wanted, in their order."""
    keys: list[pl.DataFrame] = []
    held = 0
    for place, segment in enumerate(segments):
        with segment.open() as reading:
            keys.append(_keys(reading).with_columns(place=place))
            held += reading.lines
        if held >= _KEYS or place + 1 == len(segments):
            # One join for many segments: each costs as much as all the keys that are wanted.
            found = pl.concat(keys).join(wanted, on="key", how="semi", maintain_order="left")
            for at, numbers in found.group_by("place", maintain_order=True).agg("number").iter_rows():
                yield from _taken(segments[at], pl.Series(numbers, dtype=pl.UInt32), kind)
            keys, held = [], 0


def _merged(group: list[Segment], kind: Kind) -> Iterator[pl.DataFrame]:
    """The lines of neighbours, without those that no request could be given."""
    decisive = ["key"] if kind == "embed" else _DECISIVE
    seen = []
    for place, segment in enumerate(group):
        with segment.open() as reading:
            seen.append(_told(reading, decisive).with_row_index("number").with_columns(place=place))
    first = pl.concat(seen).unique(decisive, keep="first", maintain_order=True)
    stay = dict(first.group_by("place", maintain_order=True).agg("number").iter_rows())
    for place, segment in enumerate(group):
        yield from _taken(segment, pl.Series(stay.get(place, []), dtype=pl.UInt32), kind)


def _taken(segment: Segment, numbers: pl.Series, kind: Kind) -> Iterator[pl.DataFrame]:
    with segment.open() as reading:
        yield from (lines if kind == "embed" else conform(lines, RESPONSES) for lines in reading.take(numbers))


def _told(reading: Reading, columns: list[str]) -> pl.DataFrame:
    """All lines of those columns; those that the segment lacks are null."""
    here = reading.read([name for name in columns if name in reading.columns])
    return conform(here, pl.Schema({name: RESPONSES[name] for name in columns}))


def _keys(reading: Reading) -> pl.DataFrame:
    return reading.read(["key"]).with_row_index("number")


def conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with exactly the columns of a schema; what it lacks is null."""
    present = set(frame.columns)
    return frame.select(
        (pl.col(name) if name in present else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )


def _fault(segment: Segment, kind: Kind) -> str | None:
    """What is wrong with a segment, if anything is."""
    if not segment.intact:
        return "its bytes are not those that were written"
    try:
        with segment.open() as reading:
            for chunk in reading.chunks(["key", "vector"] if kind == "embed" else ["key"]):
                if not chunk["key"].str.contains(_KEY).fill_null(False).all():
                    return "it holds keys that are none"
                if kind == "embed" and not np.isfinite(chunk["vector"].to_numpy()).all():
                    return "it holds vectors that are not finite"
    except DamagedSegment as damaged:
        return damaged.reason
    return None


def _groups(segments: list[Segment], above: int, large: int = LARGE) -> list[list[Segment]]:
    """What is to be merged: neighbours, two or more."""
    groups: list[list[Segment]] = []
    small: list[Segment] = []
    for segment in [*segments, None]:
        if segment is not None and segment.size < large:
            small.append(segment)
        elif small:
            groups += _run(small, above, large)
            small = []
    return groups


def _run(segments: list[Segment], above: int, large: int) -> list[list[Segment]]:
    """The same for a run of small segments."""
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
