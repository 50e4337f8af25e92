"""From a parsed document to its records: a file that is one JSON or YAML value rather than one record a line."""

from types import UnionType

RECORD_KEYS = ("data", "dataset", "examples", "items", "records", "rows", "samples", "train")
"""Top-level keys under which a file that is one object may hold its records."""

DIALOGUE_KEYS = ("conversations", "dialogues")
"""The same for a list of lists. A list of objects under these keys is one conversation."""


def items_of(value: object) -> list[object]:
    """The records of a parsed document: a list's elements, those of the one list of records in an object, or the document itself."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        lists = [value[key] for key in RECORD_KEYS if _holds(value.get(key), dict | list)]
        lists += [value[key] for key in DIALOGUE_KEYS if _holds(value.get(key), list)]
        if len(lists) == 1:
            return lists[0]
    return [value]


def _holds(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, list) and any(isinstance(item, kind) for item in value)
