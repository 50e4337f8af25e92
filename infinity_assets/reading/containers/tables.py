"""Parquet and Arrow."""

import io
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from infinity_assets.reading.containers.base import Block, Feed, Record, error_message
from infinity_assets.reading.containers.columns import DUPLICATE_COLUMNS, merge_duplicates, number_duplicates
from infinity_assets.reading.streams import DAMAGE, Opened


def split_table(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Cut Parquet or Arrow, recognized by content, into blocks that hold a batch of rows as an Arrow stream."""
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
    except (pa.ArrowException, MemoryError, *DAMAGE) as error:  # a damaged length can demand too much memory
        feed.fault = error_message(error)


def parse_arrow(block: Block) -> Iterator[Record]:
    """Yield one record per row. Dates, times, decimals and UTF-8 binaries become text, maps become objects."""
    import pyarrow as pa

    with pa.ipc.open_stream(block.data) as reader:
        table = reader.read_all()
    names, doubles = number_duplicates(table.column_names)
    table = table.rename_columns(names)
    for place, field in enumerate(table.schema):
        if getattr(field.type, "unit", None) == "ns":  # Python's times have no nanoseconds
            if pa.types.is_timestamp(field.type):
                coarse = pa.timestamp("us", field.type.tz)
            else:
                coarse = pa.time64("us") if pa.types.is_time(field.type) else pa.duration("us")
            table = table.set_column(place, field.name, table.column(place).cast(coarse, safe=False))
    rows = table.to_pylist()
    for field in table.schema:
        if convert := _plain_converter(field.type):
            for row in rows:
                row[field.name] = convert(row[field.name])
    for place, row in enumerate(rows):
        repair = DUPLICATE_COLUMNS if doubles and merge_duplicates(row, doubles) else None
        yield Record(block.first + place, row, repair=repair)


def _plain_converter(kind: Any) -> Callable[[Any], object] | None:
    """Return a function that converts values of an Arrow type to JSON types, or `None` if they need no conversion."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain_converter(kind.value_type)
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
        key = _plain_converter(kind.key_type) or _identity
        item = _plain_converter(kind.item_type) or _identity
        return lambda value: None if value is None else {str(key(name)): item(one) for name, one in value}
    if types.is_struct(kind):
        fields = {field.name: convert for field in kind if (convert := _plain_converter(field.type))}
        return (
            (lambda value: value and {name: fields.get(name, _identity)(one) for name, one in value.items()})
            if fields
            else None
        )
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = _plain_converter(kind.value_type)
        return (lambda value, convert=element: value and [convert(one) for one in value]) if element else None
    return None


def _identity(value: object) -> object:
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
        batch.validate(full=True)  # Arrow trusts offsets, and wrong ones would crash the process
        yield from (batch.slice(start, 5000) for start in range(0, batch.num_rows, 5000))
