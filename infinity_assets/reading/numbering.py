"""Numbers of right options that count from 1, which only a look at several records of a source can tell."""

from collections.abc import Iterator, Set
from itertools import islice
from typing import Any

from infinity_assets.reading.containers import read_blocks
from infinity_assets.reading.layouts.options import GOLD, find_options
from infinity_assets.reading.names import NAMES, plain_key
from infinity_assets.reading.sources import Source

_FILES = 3
_RECORDS = 2000
"""Number of files, and of records at the beginning of each, that are looked at."""

_HINTS = tuple(f'"{name}"'.encode() for name in NAMES["options"])


def find_numbers_from_one(source: Source) -> frozenset[str]:
    """Return the keys, in plain form, whose numbers of right options count from 1.

    A number that equals the number of options cannot count from 0, and a zero cannot count from 1. The records at the
    beginning of some files are looked at. Without evidence numbers count from 0, as most datasets do.
    """
    from_zero, from_one = set[str](), set[str]()
    for record in _sample(source):
        names = {plain_key(key): value for key, value in record.items()}
        options = find_options(names)
        if options is None or options.right is not None or options.numbers_from != 0:
            continue
        for name in GOLD:
            number = _number(names.get(name))
            if number == 0:
                from_zero.add(name)
            elif number == len(options.texts):
                from_one.add(name)
    return frozenset(from_one - from_zero)


def count_from_zero(record: object, names: Set[str]) -> object:
    """Return a record with the numbers under these keys, which count from 1, counted from 0."""
    if not isinstance(record, dict):
        return record
    changed = {
        key: number - 1
        for key, value in record.items()
        if plain_key(key) in names and (number := _number(value)) is not None
    }
    return record | changed if changed else record


def _number(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 3 and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def _sample(source: Source) -> Iterator[dict]:
    """Yield the objects at the beginning of the files whose first block has a key of options."""
    for file in source.files()[:_FILES]:
        with open(file.path, "rb") as stream:
            block = next(
                read_blocks(stream, file.name, lambda member, file=file.name: source.wants(file, member)), None
            )
        if block and (block.form == "arrow" or any(hint in block.data for hint in _HINTS)):
            yield from (one.value for one in islice(block.records(), _RECORDS) if isinstance(one.value, dict))
