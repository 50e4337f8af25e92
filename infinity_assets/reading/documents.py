"""Extraction of the records from a document: a file that is one JSON or YAML value rather than one record per line."""

from types import UnionType

from infinity_assets.reading.layouts import Parsed, parse, recognizes
from infinity_assets.reading.layouts.turns import is_turn
from infinity_assets.reading.layouts.values import is_plain
from infinity_assets.reading.names import plain_key

RECORD_KEYS = ("data", "dataset", "examples", "items", "records", "rows", "samples", "train")
"""Top-level keys that may hold the records of a file that is one object."""

DIALOGUE_KEYS = ("conversations", "dialogues")
"""Top-level keys that may hold a list of conversations, each a list. A list of objects is one conversation."""

SPLITS = ("train", "training", "validation", "valid", "val", "dev", "test", "eval", "testing")
"""Keys under which one file may hold the splits of a dataset."""

INSTRUCTIONS = ("task_prefix", "instruction", "instructions", "definition", "task_description", "description")
"""Top-level keys that may hold one instruction for all records with an input, best first."""

SHARED = ("system", "system_prompt", "tools")
"""Top-level keys of values that apply to all records."""


def items_of(value: object) -> list[object]:
    """Return the records of a parsed document in order, or the document itself if it is a single record.

    Records are the elements of a list, the list under a record key, all splits of a dataset, the values of an object
    whose keys are ids, or the rows of a table written column by column. They inherit the document's values for all
    records, such as an instruction or a system prompt. A list of turns is one conversation. An object with its own
    request and answer is one record, even if it also holds lists. An article of SQuAD becomes one record per question,
    and a task with instances becomes one record per instance.
    """
    return [
        record
        for item in _list_records(value)
        for record in (_split_record(item) if isinstance(item, dict) else [item])
    ]


def _list_records(value: object) -> list[object]:
    if isinstance(value, list):
        return [value] if value and all(map(is_turn, value)) else value
    if not isinstance(value, dict) or not value:
        return [value]
    holding = [key for key in RECORD_KEYS if _has_any(value.get(key), dict | list) and not _are_turns(value[key])]
    holding += [key for key in DIALOGUE_KEYS if _has_any(value.get(key), list)]
    lists = [value[key] for key in holding]
    if lists and _is_whole({key: inner for key, inner in value.items() if key not in holding}):
        return [value]
    if len(lists) == 1 and not any(_has_any(value.get(key), dict) for key in SPLITS if value.get(key) is not lists[0]):
        return [*_inherit(value, lists[0]), *_other_records(value, holding)]
    if len(lists) > 1:
        listed = [record for records in lists for record in records]
        return [*_inherit(value, listed), *_other_records(value, holding)] if all(map(recognizes, listed)) else [value]
    nested = [part for key in RECORD_KEYS if isinstance(part := value.get(key), dict) and _is_split(part)]
    if len(nested) == 1:
        return _inherit(value, _list_records(nested[0]))
    if _is_by_id(value):
        return list(value.values())
    if recognizes(value):
        return [value]
    result: list[object] = _split_records(value) or _find_only_list(value) or [*_table_rows(value)]
    return result or [value]


def _is_split(part: dict) -> bool:
    """Return whether an object holds the splits of a dataset."""
    return any(plain_key(key) in SPLITS and _has_any(records, dict) for key, records in part.items())


def _other_records(document: dict, holding: list[str]) -> list[object]:
    """Return the objects in lists under other keys than those of the records: records too, or to be named as unread."""
    others = (part for key, part in document.items() if key not in holding and plain_key(key) not in SHARED)
    return [item for part in others if _has_any(part, dict) and not _are_turns(part) for item in part]


def _is_whole(record: dict) -> bool:
    """Return whether a record has both a request and an answer."""
    return any(isinstance(outcome, Parsed) and outcome.kind == "conversation" for outcome in parse(record))


def _split_records(document: dict) -> list[object]:
    """Return the records of all splits of a dataset, or of all its lists if it holds only lists of records."""
    parts: list[object] = [
        part for key, part in document.items() if plain_key(key) in SPLITS and isinstance(part, dict | list)
    ]
    others = [part for key, part in document.items() if plain_key(key) not in SPLITS and _has_any(part, dict)]
    if parts and others:
        if not all(isinstance(item, dict) and recognizes(item) for part in others for item in part):
            return []
        parts += others
    lists = [part for part in document.values() if part not in ({}, [], None, "")]
    if not parts and lists and all(_has_any(part, dict | list) for part in lists):
        parts = lists
        if all(isinstance(part, list) and _are_turns(part) for part in parts):
            return list(parts) if len(parts) > 1 else []
    return [record for part in parts for record in _list_records(part)]


def _table_rows(document: dict) -> list[dict]:
    """Return the rows of a table written column by column: at least two lists of scalars of equal length.

    A column may also be an object of scalars by row number, as pandas writes it. The result is [] if no layout reads
    the rows: the tokens and tags of one sentence are not a table.
    """
    columns = {key: list(column.values()) if _is_series(column) else column for key, column in document.items()}
    lists = {key: column for key, column in columns.items() if isinstance(column, list)}
    if len(lists) < 2 or len({len(column) for column in lists.values()}) != 1:
        return []
    if not all(is_plain(cell) or cell is None for column in lists.values() for cell in column):
        return []
    rows = [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    return rows if any(map(recognizes, rows)) else []


def _find_only_list(document: dict) -> list[object]:
    """Return the only list of objects, or []. If the document holds other lists too, a layout must read the objects."""
    lists: list[list[object]] = [part for part in document.values() if _has_any(part, dict)]
    if len(lists) != 1 or _are_turns(lists[0]):
        return []
    alone = not any(isinstance(part, list) and part is not lists[0] for part in document.values())
    return _inherit(document, lists[0]) if alone or any(map(recognizes, lists[0])) else []


def _is_by_id(document: dict) -> bool:
    """Return whether an object maps ids to at least two records, each sharing half of its keys with the first."""
    values = list(document.values())
    if len(values) < 2 or not all(isinstance(part, dict) and part for part in values) or _is_series(values[0]):
        return False
    first = values[0].keys()
    if any(2 * len(first & part.keys()) < max(len(first), len(part)) for part in values):
        return False
    return all(str(key).isdecimal() for key in document) or not recognizes(document)


def _is_series(column: object) -> bool:
    """Return whether a value is a column as pandas writes it: an object of scalars by row number."""
    return (
        isinstance(column, dict)
        and bool(column)
        and all(str(key).isdecimal() for key in column)
        and all(map(_is_cell, column.values()))
    )


def _is_cell(value: object) -> bool:
    return is_plain(value) or value is None


def _inherit(document: dict, records: list) -> list[object]:
    """Add the document's values for all records to each record. A record's own values take precedence."""
    names = {plain_key(key): key for key in document}
    shared = {name: document[names[name]] for name in SHARED if name in names}
    instruction = next(
        (document[names[name]] for name in INSTRUCTIONS if name in names and document[names[name]]), None
    )
    if not shared and instruction is None:
        return records
    result: list[object] = []
    for record in records:
        if isinstance(record, dict):
            inherited = shared
            if instruction is not None and ("input" in record or "inputs" in record) and "instruction" not in record:
                inherited = {"instruction": instruction, **shared}
            record = {**inherited, **record}
        result.append(record)
    return result


def _split_record(record: dict) -> list[object]:
    """Split a SQuAD article into its questions and a task into its instances. Return any other record in a list."""
    match record:
        case {"paragraphs": [{"qas": _}, *_] as paragraphs}:
            title = {"title": record["title"]} if "title" in record else {}
            parts = [part for part in paragraphs if isinstance(part, dict) and isinstance(part.get("qas"), list)]
            questions: list[object] = [
                {**title, "context": part.get("context"), **qa}
                for part in parts
                for qa in part["qas"]
                if isinstance(qa, dict)
            ]
            return questions or [record]
        case {"Definition": definition, "Instances": [dict(), *_] as instances}:
            instruction = definition[0] if isinstance(definition, list) and definition else definition
            return [
                {"instruction": instruction, **instance} if isinstance(instance, dict) else instance
                for instance in instances
            ]
    return [record]


def _has_any(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, list) and any(isinstance(item, kind) for item in value)


def _are_turns(value: list) -> bool:
    return all(map(is_turn, value))
