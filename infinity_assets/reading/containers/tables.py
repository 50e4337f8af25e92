"""Parquet and Arrow."""

import io
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from infinity_assets.reading.containers.base import Block, Feed, Record, said
from infinity_assets.reading.streams import DAMAGE, Opened


def split_table(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Parquet or Arrow, told by the content. A block is a batch of rows as an Arrow stream."""
    import pyarrow as pa

    stream = opened.stream if opened.stream.seekable() else io.BytesIO(feed.read(sys.maxsize))
    first = 0
    try:
        for batch in _batches(stream):
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            yield Block(opened.file, "arrow", first, sink.getvalue())
            first += batch.num_rows
    except (pa.ArrowException, MemoryError, *DAMAGE) as error:  # a damaged length asks for more than there is
        feed.fault = said(error)


def parse_arrow(block: Block) -> Iterator[Record]:
    """A batch of rows, one record each: dates, times and decimals as text, binary values too where they are UTF-8, maps as objects."""
    import pyarrow as pa

    with pa.ipc.open_stream(block.data) as reader:
        table = reader.read_all()
    for place, field in enumerate(table.schema):
        if getattr(field.type, "unit", None) == "ns":  # Python's times have none
            if pa.types.is_timestamp(field.type):
                coarse = pa.timestamp("us", field.type.tz)
            else:
                coarse = pa.time64("us") if pa.types.is_time(field.type) else pa.duration("us")
            table = table.set_column(place, field.name, table.column(place).cast(coarse, safe=False))
    rows = table.to_pylist()
    for field in table.schema:
        if plain := _plainly(field.type):
            for row in rows:
                row[field.name] = plain(row[field.name])
    yield from (Record(block.first + place, row) for place, row in enumerate(rows))


def _plainly(kind: Any) -> Callable[[Any], object] | None:
    """What makes the values of a type such as JSON has; null if they are."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plainly(kind.value_type)
    if (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    ):
        return _text_of
    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind):
        return lambda value: None if value is None else value.isoformat()
    if types.is_decimal(kind) or types.is_duration(kind):
        return lambda value: None if value is None else str(value)
    if types.is_map(kind):
        key, item = _plainly(kind.key_type) or _same, _plainly(kind.item_type) or _same
        return lambda value: None if value is None else {str(key(name)): item(one) for name, one in value}
    if types.is_struct(kind):
        fields = {field.name: plain for field in kind if (plain := _plainly(field.type))}
        return (
            (lambda value: value and {name: fields.get(name, _same)(one) for name, one in value.items()})
            if fields
            else None
        )
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = _plainly(kind.value_type)
        return (lambda value, plain=element: value and [plain(one) for one in value]) if element else None
    return None


def _same(value: object) -> object:
    return value


def _text_of(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _batches(stream: IO[bytes]) -> Iterator:
    import pyarrow as pa
    import pyarrow.parquet as pq

    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"PAR1"):
        with pq.ParquetFile(stream) as file:
            yield from file.iter_batches(batch_size=5000)
        return
    reader = pa.ipc.open_file(stream) if magic == b"ARROW1" else pa.ipc.open_stream(stream)
    batches = (
        (reader.get_batch(number) for number in range(reader.num_record_batches)) if magic == b"ARROW1" else reader
    )
    for batch in batches:
        batch.validate(full=True)  # the library trusts offsets: of a damaged file they would end the process
        yield from (batch.slice(start, 5000) for start in range(0, batch.num_rows, 5000))
