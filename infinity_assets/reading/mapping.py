"""A source's own keys under the names that layouts know: `fields` and `keep` of a `source.yaml`."""

from collections.abc import Callable, Iterable, Mapping
from string import Formatter

from infinity_assets.errors import InfinityError
from infinity_assets.reading.layouts.values import as_json

MISSING = object()


class FieldMapping:
    """Reads records as the lines of a `source.yaml` say. Made once a source; raises `InfinityError` if a line cannot be meant."""

    def __init__(self, fields: Mapping[str, str], keep: Iterable[str] = ()) -> None:
        self._fields = [(name, _reader(name, said)) for name, said in fields.items()]
        self._keep = [(path, _path(path, path)) for path in keep]
        self.keeps = bool(self._keep)

    def __call__(self, record: object) -> object:
        """The record that the layout is given: the mapped keys and nothing else, without those whose path leads nowhere.

        The record as it is where nothing is mapped.
        """
        if not self._fields:
            return record
        return {name: value for name, read in self._fields if (value := read(record)) is not MISSING}

    def kept(self, record: object) -> dict[str, object]:
        """The values to keep as annotations, by their path."""
        return {path: value for path, read in self._keep if (value := read(record)) is not MISSING}


def _reader(name: str, said: str) -> Callable[[object], object]:
    """What reads one field: a path, or a template if there are braces in it."""
    if "{" not in said and "}" not in said:
        return _path(name, said)
    try:
        parts = list(Formatter().parse(said))
    except ValueError as error:
        raise InfinityError(
            f"`fields.{name}`: the template {said!r} cannot be read ({error}); write a brace that is meant as `{{{{`."
        ) from None
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise InfinityError(
            f"`fields.{name}`: the template {said!r} may hold paths in braces only, without `:` or `!`."
        )
    pieces = [(literal, None if path is None else _path(name, path)) for literal, path, _, _ in parts]

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


def _path(name: str, path: str) -> Callable[[object], object]:
    """What reads the value at a path of keys and list indices, joined by dots. A key that has dots in it is found as well."""
    steps = path.strip().split(".")
    if not all(steps):
        raise InfinityError(
            f"`{name}`: {path!r} is no path; a path is keys and list indices joined by dots, as `meta.reply.0`."
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
