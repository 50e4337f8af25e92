"""Mapping of records by the settings `fields` and `keep` of a `source.yaml`."""

from collections.abc import Callable, Iterable, Mapping, Set
from string import Formatter

from infinity_assets.errors import InfinityError
from infinity_assets.reading.layouts.chats import TURN_LISTS
from infinity_assets.reading.layouts.facts import JUDGEMENTS, LABELS, MEDIA, REASONING, TRUTHS, VOTES
from infinity_assets.reading.layouts.tools import DEFINITIONS
from infinity_assets.reading.layouts.values import ANSWERS, CONTEXTS, REQUESTS, SYSTEMS, as_json, is_missing
from infinity_assets.reading.names import NAMES, plain_key

MISSING = object()

TURNS = frozenset(("messages", "conversations", "conversation", *TURN_LISTS))
_REPLIES = frozenset((*ANSWERS, *NAMES["chosen"]))
_BESIDE_REQUEST = frozenset(("instruction", "input", "inputs"))
_ASKED = frozenset(REQUESTS) - _BESIDE_REQUEST
_SLOTS = (TURNS, _REPLIES, _ASKED)
"""Keys of which a layout reads only one: if one of them is mapped, it replaces the others."""

FIELD_NAMES = (
    *TURNS, *ANSWERS, *REQUESTS, *CONTEXTS, *SYSTEMS, *DEFINITIONS, *LABELS, *NAMES["chosen"], *NAMES["rejected"],
    *NAMES["options"], *NAMES["right_option"], *NAMES["context_lists"], "text", "history", "title", "summary", "source",
    "code", "content", "body", "premise", "hypothesis",
)  # fmt: skip
"""The usual names of `fields`."""

_BESIDE_TURNS = frozenset(
    (*LABELS, *REASONING, *TRUTHS, *JUDGEMENTS, *VOTES, *MEDIA, *SYSTEMS, *DEFINITIONS, *NAMES["rejected"])
)
"""Keys that have a meaning beside a whole conversation: facts, system prompts and tools."""

_BESIDE_EXCHANGE = _BESIDE_TURNS | {*CONTEXTS, "input", "history"}
_OPTIONS = frozenset((*NAMES["options"], *NAMES["wrong_options"]))
"""Keys that have a meaning beside a request and its answer."""


class FieldMapping:
    """Maps a source's keys to the names that layouts use. Raises `InfinityError` for an invalid path or template."""

    def __init__(self, fields: Mapping[str, str], keep: Iterable[str] = ()) -> None:
        self._fields = [(name, _field_reader(name, spec)) for name, spec in fields.items()]
        self._used = frozenset(key for spec in fields.values() for path in paths_of(spec) for key in _first_keys(path))
        names = set(map(plain_key, fields))
        self._replaced = frozenset(key for slot in _SLOTS if not slot.isdisjoint(names) for key in slot)
        self._beside = _find_beside(names)
        self.unfound = dict(fields)
        """The fields whose path was in no record so far."""
        self._keep = [(path, _path_reader(path, path)) for path in keep]
        self.keeps = bool(self._keep)

    def __call__(self, record: object) -> object:
        """Return the record with the keys of `fields` whose paths exist, or unchanged if `fields` is empty.

        Other keys keep their meaning, except those that a path or a template of `fields` uses and those that a mapped
        key replaces. If `fields` names a whole conversation, only facts, contexts and system prompts are left beside it.
        """
        if not self._fields:
            return record
        mapped = {name: value for name, read in self._fields if (value := read(record)) is not MISSING}
        if self.unfound:
            for name in mapped:
                self.unfound.pop(name, None)
        if not isinstance(record, dict):
            return mapped
        overlaid = {key: value for key, value in record.items() if self._leaves(key)} | mapped
        if "input" in mapped and "instruction" not in overlaid and not _ASKED.isdisjoint(overlaid):
            overlaid.setdefault("context", overlaid.pop("input"))  # beside a question, layouts take only long inputs
        return overlaid

    def _leaves(self, key: object) -> bool:
        """Return whether a key of a record keeps its meaning."""
        name = plain_key(key)
        return key not in self._used and name not in self._replaced and (self._beside is None or name in self._beside)

    def annotations_of(self, record: object) -> dict[str, object]:
        """Return the values of the record at the paths of `keep`, by path, without missing ones."""
        return {path: value for path, read in self._keep if (value := read(record)) is not MISSING}


def paths_of(spec: str) -> list[str]:
    """Return the paths in a line of `fields`: a path, or a template with paths in braces."""
    if "{" not in spec and "}" not in spec:
        return [spec.strip()]
    return [path for _, path, _, _ in Formatter().parse(spec) if path]


def _first_keys(path: str) -> tuple[str, str]:
    """Return the keys of a record in which a path may begin: a key may contain dots."""
    return path, path.partition(".")[0]


def _find_beside(names: Set[str]) -> Set[str] | None:
    """Return the keys that have a meaning beside mapped ones, or `None` for all if these are no whole conversation."""
    if "text" in names or not names.isdisjoint(TURNS):
        return _BESIDE_TURNS
    is_whole = not names.isdisjoint(_ASKED | {"instruction"}) and not names.isdisjoint(_REPLIES)
    if not is_whole:
        return None
    return _BESIDE_EXCHANGE | _OPTIONS if "question" in names else _BESIDE_EXCHANGE


def _field_reader(name: str, spec: str) -> Callable[[object], object]:
    """Return a function that reads one field, given as a path or, with braces, as a template."""
    if "{" not in spec and "}" not in spec:
        return _path_reader(name, spec)
    try:
        parts = list(Formatter().parse(spec))
    except ValueError as error:
        raise InfinityError(
            f"`fields.{name}`: the template {spec!r} is not valid ({error}); write a literal brace as `{{{{`."
        ) from None
    if any(format_spec or conversion for _, _, format_spec, conversion in parts):
        raise InfinityError(
            f"`fields.{name}`: the template {spec!r} may hold only paths in braces, without `:` or `!`."
        )
    pieces = [(literal, None if path is None else _path_reader(name, path)) for literal, path, _, _ in parts]

    def fill(record: object) -> object:
        text = ""
        for literal, read in pieces:
            text += literal
            if read:
                value = read(record)
                if value is MISSING or is_missing(value):
                    return MISSING
                text += value if isinstance(value, str) else as_json(value) or ""
        return text

    return fill


def _path_reader(name: str, path: str) -> Callable[[object], object]:
    """Return a function that reads the value at a path of keys and indices joined by dots. Keys may contain dots."""
    steps = path.strip().split(".")
    if not all(steps):
        raise InfinityError(
            f"`{name}`: {path!r} is not a path; a path is keys and list indices joined by dots, like `meta.reply.0`."
        )
    whole = path.strip()

    def read(record: object) -> object:
        if isinstance(record, dict) and whole in record:
            return record[whole]
        value = record
        for step in steps:
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.lstrip("-").isdecimal() and -len(value) <= int(step) < len(value):
                value = value[int(step)]
            else:
                return MISSING
        return value

    return read
