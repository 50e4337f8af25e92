"""YAML."""

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from infinity_assets.reading.containers.base import UNREADABLE, Block, Feed, Record, as_json, error_message
from infinity_assets.reading.documents import items_of
from infinity_assets.reading.encodings import UNKNOWN_ENCODING, UNKNOWN_MESSAGE, decode_lines
from infinity_assets.reading.json_repair import DUPLICATE_KEYS, find_places
from infinity_assets.reading.streams import Opened

MALFORMED_YAML = "malformed_yaml"

MAX_YAML_DEPTH = 100
"""Maximum depth of nesting. No dataset is nested that deep."""

_YAML_PARTS = re.compile(r"^---(?=\s)|^(?=- )", re.MULTILINE)


class TextLoader(yaml.CBaseLoader):
    """A loader that reads scalars as text or null, since `- Yes` is a turn and `language: no` is Norwegian."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.doubles: list[dict] = []
        """The mappings with a duplicate key; the last value counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return the mapping and note whether it has a duplicate key."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            self.doubles.append(mapping)
        return mapping


_NULL = "tag:yaml.org,2002:null"
TextLoader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
TextLoader.add_constructor(_NULL, lambda loader, node: None)


def split_yaml(opened: Opened, feed: Feed) -> Iterator[Block]:
    """Yield the whole file as one block, since YAML can only be parsed as a whole."""
    data = feed.read(sys.maxsize)
    if data.strip():
        yield Block(opened.file, "yaml", 0, data)


def parse_yaml(block: Block) -> Iterator[Record]:
    """Yield the records of all YAML documents of a file, in order."""
    text, wrong = decode_lines(block.data)
    repairs = "+".join(dict.fromkeys(wrong.values()))
    position = 0
    for part in _yaml_parts(text):
        if part.error:
            raw = block.data if part.text is text else part.text.encode()
            yield Record(
                position, raw=raw, error=UNREADABLE if part.text is text else MALFORMED_YAML, message=part.error
            )
            position += 1
            continue
        items = [item for document in part.documents if document is not None for item in items_of(document)]
        doubled = find_places(items, part.doubles)
        for place, item in enumerate(items):
            foreign = repairs and not as_json(item).isascii()  # the item's line is unknown
            if UNKNOWN_ENCODING in wrong.values() and "\ufffd".encode() in as_json(item):
                yield Record(position + place, raw=as_json(item), error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
                continue
            repair = "+".join(
                filter(None, (repairs if foreign else None, DUPLICATE_KEYS if place in doubled else None))
            )
            yield Record(position + place, item, repair=repair or None)
        position += len(items)


def load_yaml(text: str) -> object:
    """Return the one YAML document of a text, made of text, lists, mappings and nulls.

    Raises:
        yaml.YAMLError: The text is not valid YAML or holds several documents.
    """
    documents, _ = _yaml_documents(text)
    if len(documents) > 1:
        raise yaml.YAMLError("there are several documents")
    return documents[0] if documents else None


class _YamlPart(NamedTuple):
    """A part of a YAML text that is parsed at once."""

    text: str
    documents: list[object]
    doubles: list[dict]
    error: str | None = None


def _yaml_parts(text: str) -> Iterator[_YamlPart]:
    """Yield a YAML text as one part or, if it is damaged, as its documents and list elements."""
    try:
        yield _YamlPart(text, *_yaml_documents(text))
    except yaml.YAMLError as error:
        parts = [part for part in _YAML_PARTS.split(text) if part.strip()]
        if len(parts) < 2:
            yield _YamlPart(text, [], [], error_message(error))
        else:
            for part in parts:
                yield from _yaml_parts(part)


def _yaml_documents(text: str) -> tuple[list[object], list[dict]]:
    """Return the documents and the mappings in them that have a duplicate key."""
    depth = 0
    for event in yaml.parse(text, TextLoader):
        # The C composer recurses without a bound, so deep nesting would crash the process.
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_YAML_DEPTH} levels")
    loader = TextLoader(text)
    documents = []
    while loader.check_data():
        documents.append(loader.get_data())
    return documents, loader.doubles
