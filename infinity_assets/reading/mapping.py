"""Mapping of records by the settings `fields` and `keep` of a `source.yaml`."""

from collections.abc import Callable, Iterable, Mapping
from string import Formatter

from infinity_assets.errors import InfinityError
from infinity_assets.reading.layouts.values import as_json

MISSING = object()


class FieldMapping:
    """Maps a source's keys to the names that layouts use. Raises `InfinityError` for an invalid path or template."""

    def __init__(self, fields: Mapping[str, str], keep: Iterable[str] = ()) -> None:
        self._fields = [(name, _field_reader(name, spec)) for name, spec in fields.items()]
        self._keep = [(path, _path_reader(path, path)) for path in keep]
        self.keeps = bool(self._keep)

    def __call__(self, record: object) -> object:
        """Return the record with only the keys of `fields` whose paths exist, or unchanged if `fields` is empty."""
        if not self._fields:
            return record
        return {name: value for name, read in self._fields if (value := read(record)) is not MISSING}

    def annotations_of(self, record: object) -> dict[str, object]:
        """Return the values of the record at the paths of `keep`, by path, without missing ones."""
        return {path: value for path, read in self._keep if (value := read(record)) is not MISSING}


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
                if value is MISSING or value is None:
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
