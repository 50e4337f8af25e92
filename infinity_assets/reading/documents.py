"""From a parsed document to its records: a file that is one JSON or YAML value rather than one record a line."""

from types import UnionType

from infinity_assets.reading.layouts import Parsed, parse, recognises
from infinity_assets.reading.layouts.turns import is_turn
from infinity_assets.reading.layouts.values import is_plain, plain_key

RECORD_KEYS = ("data", "dataset", "examples", "items", "records", "rows", "samples", "train")
"""Top-level keys under which a file that is one object may hold its records."""

DIALOGUE_KEYS = ("conversations", "dialogues")
"""The same for a list of lists. A list of objects under these keys is one conversation."""

SPLITS = ("train", "training", "validation", "valid", "val", "dev", "test", "eval", "testing")
"""Keys of the splits of a dataset that is one file."""

INSTRUCTIONS = ("task_prefix", "instruction", "instructions", "definition", "task_description", "description")
"""Keys beside a list of inputs that say what is to be done with them, best first."""

SHARED = ("system", "system_prompt", "tools")
"""Keys beside a list of records that hold for each of them."""


def items_of(value: object) -> list[object]:
    """The records of a parsed document, in order; the document itself where it holds no others.

    A list's elements; the records under a key; all splits of a dataset; the values of an object whose keys are ids; the rows of a table
    written column by column. What a document says once for all its records (an instruction, a system prompt) they inherit. A list of
    turns is one conversation, and an object with a request and an answer of its own is one record, whatever lists stand beside them.
    An article of SQuAD and a task with instances are taken apart, one record a question or instance.
    """
    return [record for item in _items(value) for record in (_apart(item) if isinstance(item, dict) else [item])]


def _items(value: object) -> list[object]:
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
        return _inheriting(value, lists[0])
    if len(lists) > 1:
        return [value]
    if _is_by_id(value):
        return list(value.values())
    if recognises(value):
        return [value]
    found: list[object] = _split(value) or _only_list(value) or [*_table(value)]
    return found or [value]


def _is_whole(record: dict) -> bool:
    """Whether it has a request and an answer."""
    return any(isinstance(outcome, Parsed) and outcome.kind == "conversation" for outcome in parse(record))


def _split(document: dict) -> list[object]:
    """The records of a dataset's splits, or of its parts where it holds nothing but lists of records."""
    parts: list[object] = [
        part for key, part in document.items() if plain_key(key) in SPLITS and isinstance(part, dict | list)
    ]
    others = [part for key, part in document.items() if plain_key(key) not in SPLITS and _has_any(part, dict)]
    if parts and others:
        return []
    if not parts and all(_has_any(part, dict | list) for part in document.values()):
        parts = list(document.values())
        if all(isinstance(part, list) and _are_turns(part) for part in parts):
            return list(parts) if len(parts) > 1 else []
    return [record for part in parts for record in _items(part)]


def _table(document: dict) -> list[dict]:
    """The rows of a table written column by column: two lists of scalars or more, all of one length, as pandas writes them or plain.

    None where no layout reads the rows: the tokens and tags of one sentence are no table.
    """
    columns = {key: list(column.values()) if _is_series(column) else column for key, column in document.items()}
    lists = {key: column for key, column in columns.items() if isinstance(column, list)}
    if len(lists) < 2 or len({len(column) for column in lists.values()}) != 1:
        return []
    if not all(is_plain(cell) or cell is None for column in lists.values() for cell in column):
        return []
    rows = [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    return rows if any(map(recognises, rows)) else []


def _only_list(document: dict) -> list[object]:
    """The one list of objects in a document, under whatever key; beside other lists only if a layout reads an object of it."""
    lists: list[list[object]] = [part for part in document.values() if _has_any(part, dict)]
    if len(lists) != 1 or _are_turns(lists[0]):
        return []
    alone = not any(isinstance(part, list) and part is not lists[0] for part in document.values())
    return _inheriting(document, lists[0]) if alone or any(map(recognises, lists[0])) else []


def _is_by_id(document: dict) -> bool:
    """Whether the values are records of one shape: two at least, each sharing half its keys with the first, and the keys ids."""
    values = list(document.values())
    if len(values) < 2 or not all(isinstance(part, dict) and part for part in values) or _is_series(values[0]):
        return False
    first = values[0].keys()
    if any(2 * len(first & part.keys()) < max(len(first), len(part)) for part in values):
        return False
    return all(str(key).isdecimal() for key in document) or not recognises(document)


def _is_series(column: object) -> bool:
    """Whether it is a column as pandas writes it: scalars by their row number."""
    return (
        isinstance(column, dict)
        and bool(column)
        and all(str(key).isdecimal() for key in column)
        and all(map(_is_cell, column.values()))
    )


def _is_cell(value: object) -> bool:
    return is_plain(value) or value is None


def _inheriting(document: dict, records: list) -> list[object]:
    """The records with what the document says for all of them."""
    names = {plain_key(key): key for key in document}
    shared = {name: document[names[name]] for name in SHARED if name in names}
    instruction = next(
        (document[names[name]] for name in INSTRUCTIONS if name in names and document[names[name]]), None
    )
    if not shared and instruction is None:
        return records
    found: list[object] = []
    for record in records:
        if isinstance(record, dict):
            said = shared
            if instruction is not None and ("input" in record or "inputs" in record) and "instruction" not in record:
                said = {"instruction": instruction, **shared}
            record = {**said, **record}
        found.append(record)
    return found


def _apart(record: dict) -> list[object]:
    """The questions of SQuAD's article, the instances of a task; else the record."""
    match record:
        case {"paragraphs": [{"qas": _}, *_] as paragraphs}:
            about = {"title": record["title"]} if "title" in record else {}
            parts = [part for part in paragraphs if isinstance(part, dict) and isinstance(part.get("qas"), list)]
            questions: list[object] = [
                {**about, "context": part.get("context"), **qa}
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
