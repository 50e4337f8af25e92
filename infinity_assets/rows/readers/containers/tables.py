"""Parquet and Arrow."""

import io
import sys
from collections.abc import Iterator
from typing import IO

from infinity_assets.rows.readers.containers.base import Block, Feed, Record, said
from infinity_assets.rows.readers.streams import DAMAGE, Opened


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
    except (pa.ArrowException, *DAMAGE) as error:
        feed.fault = said(error)


def parse_arrow(block: Block) -> Iterator[Record]:
    """A batch of rows, one record each."""
    import pyarrow as pa

    with pa.ipc.open_stream(block.data) as reader:
        rows = reader.read_all().to_pylist()
    yield from (Record(block.first + place, row) for place, row in enumerate(rows))


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
    batches = (reader.get_batch(number) for number in range(reader.num_record_batches)) if magic == b"ARROW1" else reader
    for batch in batches:
        batch.validate(full=True)  # the library trusts offsets: of a damaged file they would end the process
        yield from (batch.slice(start, 5000) for start in range(0, batch.num_rows, 5000))
