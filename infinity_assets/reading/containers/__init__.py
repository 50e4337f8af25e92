"""From the bytes of a file to its records, whatever they mean.

A file is read in two halves. The first cuts its stream into blocks of whole records, in order, without looking at what they say: cheap, and
done in one place. The second parses a block, anywhere. Grain of the second: one `Record` per list element, line, table row or paragraph.

Nothing here raises on content, and nothing is skipped but blank lines: what cannot be read is a record with an error. Each module has both
halves of one family of containers. A new container is a function that cuts, in `CONTAINERS`, and a form of blocks in `FORMS` if its blocks
are bytes of a new kind.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO

from infinity_assets.reading.containers.base import FORMS, Block, Feed, Form, Record, as_json, said
from infinity_assets.reading.containers.csv_files import is_cut_row, parse_rows, split_csv
from infinity_assets.reading.containers.json_files import (
    LINES,
    json_name,
    json_raw,
    list_raw,
    parse_json,
    parse_lines,
    parse_list,
    split_json,
)
from infinity_assets.reading.containers.tables import parse_arrow, split_table
from infinity_assets.reading.containers.text_files import parse_text, split_text
from infinity_assets.reading.containers.yaml_files import load_yaml, parse_yaml, split_yaml
from infinity_assets.reading.streams import DAMAGE, Opened, open_files

__all__ = ["CONTAINERS", "Block", "Record", "as_json", "blocks_of", "load_yaml", "read_blocks"]

CONTAINERS: dict[str, Callable[[Opened, Feed], Iterator[Block]]] = {
    ".json": split_json,
    **dict.fromkeys(LINES, split_json),
    ".csv": split_csv,
    ".tsv": split_csv,
    ".tab": split_csv,
    ".parquet": split_table,
    ".arrow": split_table,
    ".feather": split_table,
    ".yaml": split_yaml,
    ".yml": split_yaml,
    ".txt": split_text,
}
"""How a file is cut into blocks, by its suffix."""

FORMS.update(
    {
        "json": Form(json_name, parse_json, raw=json_raw),
        "list": Form(lambda block: "JSON list", parse_list, raw=list_raw),
        "lines": Form(lambda block: "JSON Lines", parse_lines),
        "rows": Form(lambda block: "CSV or TSV", parse_rows, is_cut=is_cut_row),
        "yaml": Form(lambda block: "YAML", parse_yaml, is_cut=lambda last: True),
        "text": Form(lambda block: "plain text", parse_text, is_cut=lambda last: True),
        "arrow": Form(lambda block: "Parquet or Arrow", parse_arrow),
    }
)


def read_blocks(stream: IO[bytes], file: str, wanted: Callable[[str], bool]) -> Iterator[Block]:
    """The blocks of a file, or of all files in an archive.

    Args:
        stream: Its bytes.
        file: What it is called: its path in the source.
        wanted: Whether a path inside an archive is that of data.
    """
    opened = open_files(stream, file, wanted)
    while True:
        try:
            one = next(opened, None)
        except DAMAGE as error:  # an archive that breaks off is a file of its own, beside those in it
            yield Block(file, "lines", 0, b"", fault=said(error))
            return
        if one is None:
            return
        yield from blocks_of(one)


def blocks_of(opened: Opened) -> Iterator[Block]:
    """The blocks of one file with data. They come as they are asked for: who stops early has read no further than two blocks more."""
    feed = Feed(opened.stream)
    split = CONTAINERS.get(opened.suffix, split_json)
    held: Block | None = None
    for block in split(opened, feed):
        if held:
            yield replace(held, last=False)
        held = block
    if held:
        yield replace(held, fault=feed.fault)
    elif feed.fault:
        yield Block(opened.file, "lines", 0, b"", fault=feed.fault)
