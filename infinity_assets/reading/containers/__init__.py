"""Containers: parsers from the bytes of a file to its records.

A file is read in two steps. The first cuts its stream into blocks of whole records, in order; it is cheap and runs in
one process. The second parses a block and can run in any process. It yields one `Record` per list element, line, table
row or paragraph. Each module contains both steps for one family of containers.

No content raises an exception, and only blank lines are skipped: an unreadable record is a `Record` with an error. To
add a container, register the function that cuts it in `CONTAINERS`, and a `Form` in `FORMS` if no existing one can
parse its blocks.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO

from infinity_assets.reading.containers import csv_files, json_files, tables, text_files, yaml_files
from infinity_assets.reading.containers.base import FORMS, Block, Feed, Form, Record, as_json, error_message
from infinity_assets.reading.containers.joined import join_messages
from infinity_assets.reading.containers.yaml_files import load_yaml
from infinity_assets.reading.streams import DAMAGE, Opened, open_files

__all__ = ["CONTAINERS", "Block", "Record", "as_json", "blocks_of", "load_yaml", "read_blocks"]

CONTAINERS: dict[str, Callable[[Opened, Feed], Iterator[Block]]] = {
    **dict.fromkeys((".json", *json_files.LINES), json_files.split_json),
    **dict.fromkeys((".csv", ".tsv", ".tab"), csv_files.split_csv),
    **dict.fromkeys((".parquet", ".arrow", ".feather"), tables.split_table),
    **dict.fromkeys((".yaml", ".yml"), yaml_files.split_yaml),
    ".txt": text_files.split_text,
}
"""The function that cuts a file into blocks, by the suffix of the file."""

FORMS.update(
    {
        "json": Form(json_files.describe_json, json_files.parse_json, raw=json_files.find_json_raw),
        "list": Form(lambda block: "JSON list", json_files.parse_list, raw=json_files.find_list_raw),
        "lines": Form(lambda block: "JSON Lines", json_files.parse_lines),
        "rows": Form(lambda block: "CSV or TSV", csv_files.parse_rows, is_cut=csv_files.is_cut_row),
        "yaml": Form(lambda block: "YAML", yaml_files.parse_yaml, is_cut=lambda last: True),
        "text": Form(lambda block: "plain text", text_files.parse_text, is_cut=lambda last: True),
        "joined": Form(lambda block: "messages of conversations", csv_files.parse_rows),
        "arrow": Form(lambda block: "Parquet or Arrow", tables.parse_arrow),
    }
)


def read_blocks(stream: IO[bytes], file: str, wanted: Callable[[str], bool]) -> Iterator[Block]:
    """Yield the blocks of a file, or of all files in an archive.

    Args:
        stream: The bytes of the file.
        file: The path of the file in the source.
        wanted: Returns whether to read a path inside an archive.
    """
    opened = open_files(stream, file, wanted)
    while True:
        try:
            member = next(opened, None)
        except DAMAGE as error:  # a damaged archive is reported as one more file
            yield Block(file, "lines", 0, b"", fault=error_message(error))
            return
        if member is None:
            return
        yield from blocks_of(member)


def blocks_of(opened: Opened) -> Iterator[Block]:
    """Yield the blocks of one data file lazily, at most two blocks ahead of the caller.

    If the records are single messages, the blocks hold whole conversations, and the file is read to its end.
    """
    return join_messages(_cut(opened))


def _cut(opened: Opened) -> Iterator[Block]:
    feed = Feed(opened.stream)
    split = CONTAINERS.get(opened.suffix, json_files.split_json)
    if split is text_files.split_text and json_files.OBJECTS.match(feed.peek()):
        split = json_files.split_json
    held: Block | None = None
    for block in split(opened, feed):
        if held:
            yield replace(held, last=False)
        held = block
    if held:
        yield replace(held, fault=feed.fault)
    elif feed.fault:
        yield Block(opened.file, "lines", 0, b"", fault=feed.fault)
