"""Lenient parsing and recovery of JSON that a strict parser rejects.

Common mistakes are repaired if only one correction is possible: extra commas, escapes that JSON does not have, raw
control characters and NUL bytes, Python's `repr` instead of JSON, values that Python's own `json` writes although the
standard forbids them (NaN, lone surrogates), and several values instead of one. Nothing else is guessed: a damaged
value is passed on unchanged, and reading continues after it.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import orjson

from infinity_assets.reading.encodings import UNKNOWN_ENCODING, UNKNOWN_MESSAGE, decode
from infinity_assets.reading.structure import split_elements

TRAILING_COMMA = "trailing_comma"
MISSING_COMMA = "missing_comma"
INVALID_ESCAPE = "invalid_escape"
NUL_BYTES = "nul_bytes"
PYTHON_LITERAL = "python_literal"
NONSTANDARD = "nonstandard_json"
DUPLICATE_KEYS = "duplicate_keys"
LIST_NOT_CLOSED = "list_not_closed"
LIST_CLOSED_EARLY = "list_closed_early"

TRUNCATED = "truncated_json"
MALFORMED = "malformed_json"

AFTER_THE_LIST = "text after the end of the list"

MAX_TRIES = 2000
"""Maximum number of places after a damaged value at which parsing is tried again."""

_PASSED = 1 << 18
"""Number of parsed characters after which they are removed from the text (more in a long text)."""

_WINDOW = 1 << 16
"""Number of characters in which to look for the end of a damaged value."""

MAX_LITERAL = 1 << 26
"""Maximum length in characters of a text to parse as Python. That takes about 100 times the text's memory."""

# An unclosed string matches up to the end of the text; otherwise each quote in it would be tried, in quadratic time.
_STRING_OR_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|,(?=\s*[\]}])', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_BETWEEN = re.compile(r"[\s,]*")
_MEMBER = re.compile(r'[\s,]*+("[^"\\]*+")\s*+:\s*+')
_AGAIN = re.compile(r"\]\s*,?\s*(?:\[\s*)?")
_FIRST_KEY = re.compile(r"""\{\s*["']([^"'\\]*+)["']\s*:""")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PYTHON = re.compile(r"""\s*+(?:[\[{(]\s*+)++'""")
_LITERALS = ("true", "false", "null", "NaN", "-Infinity", "Infinity")
_DECODER = json.JSONDecoder(strict=False)
_NOTHING = object()

_Shape = set[str] | type | None
"""The common form of the elements of a list: the keys of objects, or the type `list` or `str`."""


class Element(NamedTuple):
    """One parsed value of a text, or an unreadable part of the text."""

    raw: bytes
    """The bytes of the value."""
    value: object = None
    repair: str | None = None
    """The repairs that reading needed, joined by `+`."""
    error: str | None = None
    """`truncated_json`, `malformed_json` or `unknown_encoding`."""
    message: str | None = None
    """The error message of the parser."""


def parse_lenient(data: bytes) -> Element:
    """Parse one JSON value, with repairs if needed. An unreadable value is an element with an error."""
    text, encoding = decode(data.strip())
    if encoding == UNKNOWN_ENCODING:
        return Element(data, error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
    try:
        value, repairs = _read(text)
    except json.JSONDecodeError as error:
        return Element(data, error=TRUNCATED if ran_off_end(error) else MALFORMED, message=str(error))
    return Element(data, value, _join_repairs(encoding, *repairs))


def recover(data: bytes, listed: bool) -> Iterator[Element]:
    """Yield the values of a text that is not valid JSON as a whole: elements of a list or consecutive objects.

    After a damaged value, reading continues at the next value of the same shape.

    Args:
        data: The text; for a list, the part after its `[`.
        listed: Whether the text is a list. If so, missing commas and a missing `]` are reported as repairs.
    """
    text = data.decode(errors="surrogateescape")
    position = 0
    separator = ""
    shape: _Shape = None
    held: Element | None = None  # the last element, whose repairs depend on the text after it
    early = False
    while True:
        if position > max(_PASSED, len(text) // 32):  # each decoder error counts the lines before it
            text = text[position:]
            position = 0
        start = _BETWEEN.match(text, position).end()  # pyrefly: ignore[missing-attribute]
        separator = text[position:start]
        closed = listed and text[start : start + 1] == "]"
        if held:
            wrong = [TRAILING_COMMA] if "," in separator and (closed or separator.count(",") > 1) else []
            if listed and not held.error:
                wrong += [MISSING_COMMA] if "," not in separator and start < len(text) and not closed else []
                wrong += [LIST_NOT_CLOSED] if start == len(text) else []
            yield held._replace(repair=_join_repairs(held.repair, *wrong))
            held = None
        if start == len(text):
            return
        if closed:
            again = _AGAIN.match(text, start)
            if not again or not _alike(_value_at(text, again.end()), shape):
                if rest := text[start + 1 :].strip():
                    yield Element(_encode(rest), error=MALFORMED, message=AFTER_THE_LIST)
                return
            start = again.end()
            early = True
        shape = shape or _first_shape(text, start, listed)
        held, position = _next_element(text, start, shape, listed)
        if early:
            held = held._replace(repair=_join_repairs(held.repair, LIST_CLOSED_EARLY))
            early = False
        if not held.error:
            shape = _shape(held.value) or shape


class OpenList(NamedTuple):
    """A damaged list in an object, with the members of the object before the list."""

    members: dict[str, object]
    """The members before the list."""
    key: str
    rest: bytes
    """The text after the `[` of the list."""


def find_open_list(data: bytes) -> OpenList | None:
    """Return the damaged list in a text that is one JSON object, or `None` if the damage is elsewhere."""
    text = data.decode(errors="surrogateescape")
    members: dict[str, object] = {}
    position = len(text) - len(text.lstrip())
    if text[position : position + 1] != "{":
        return None
    position += 1
    while match := _MEMBER.match(text, position):
        try:
            members[json.loads(match[1], strict=False)], position = _raw_decode(text, match.end())
        except json.JSONDecodeError:
            if not text.startswith("[", match.end()):
                return None
            return OpenList(members, json.loads(match[1], strict=False), _encode(text[match.end() + 1 :]))
    return None


def ran_off_end(error: json.JSONDecodeError) -> bool:
    """Return whether parsing failed because the text ends too early, not because of a mistake in it."""
    rest = error.doc[error.pos :].strip()
    if error.msg.startswith("Unterminated string") or not rest:
        return True
    is_cut_escape = error.msg.startswith("Invalid \\") and len(rest) <= 6
    return is_cut_escape or any(literal.startswith(rest) for literal in _LITERALS)


def find_duplicate_keys(data: bytes, items_of: Callable[[object], list[object]]) -> set[int]:
    """Return the indices of the records of a JSON text that contain an object with a duplicate key.

    Args:
        data: The text. The result is empty if it is not valid or nested too deep.
        items_of: Returns the records of the parsed value. If it copies objects with a duplicate key, the result is {0}.
    """
    doubles: list[dict] = []

    def collect(pairs: list[tuple[str, object]]) -> dict:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            doubles.append(mapping)
        return mapping

    try:
        items = items_of(json.loads(data, object_pairs_hook=collect, strict=False))
    except (ValueError, RecursionError):
        return set()
    return find_places(items, doubles)


def find_places(items: list[object], doubles: list[dict]) -> set[int]:
    """Return the indices of the items that contain one of the very objects in `doubles`, or {0} if no item does."""
    if not doubles:
        return set()
    ids = {id(double) for double in doubles}
    return {place for place, item in enumerate(items) if _contains_any(item, ids)} or {0}


def has_lost_quotes(data: bytes, *values: object) -> bool:
    """Return whether a JSON text has more quotes than its parsed values, as a sign that a duplicate key lost a value.

    Also true for values nested too deep to serialize.
    """
    try:
        return _count_quotes(data) > _count_quotes(b"".join(map(orjson.dumps, values)))
    except orjson.JSONEncodeError:
        return True


def _count_quotes(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord('"')))


def _contains_any(value: object, wanted: set[int]) -> bool:
    """Return whether a value contains, at any depth, an object whose `id()` is in `wanted`."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if id(item) in wanted:
                return True
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return False


def _next_element(text: str, start: int, shape: _Shape, listed: bool) -> tuple[Element, int]:
    """Return the element that begins at `start` and the position of its end."""
    try:
        value, end = _raw_decode(text, start)
    except json.JSONDecodeError:
        pass
    else:
        follows = text[end : end + 1]
        scalar = listed and follows in " \t\r\n,]" and not isinstance(shape, set)
        if follows != ":" and (isinstance(value, dict | list) or scalar):
            return _parse_strictly(_encode(text[start:end])), end
    end = _find_next_element(text, start, shape)
    piece = text[start:end].rstrip()
    first = split_elements(_encode(piece[:_WINDOW]))[0]
    if first != _encode(piece):  # if the element is repairable up to its closing bracket, it ends there
        one = parse_lenient(first)
        if isinstance(one.value, dict | list):
            return one, start + len(first.decode(errors="surrogateescape"))
    if end == len(text):
        # The bracket that closes the list does not belong to a damaged last element.
        for closing in ("]", "") if piece.endswith("]") else ("",):
            whole = parse_lenient(_encode(piece.removesuffix(closing).rstrip().rstrip(",")))
            if not whole.error:
                return whole, start + len(piece.removesuffix(closing))
        return parse_lenient(_encode(piece)), end
    piece = piece.rstrip(",").rstrip()
    return parse_lenient(_encode(piece)), start + len(piece)


def _parse_strictly(raw: bytes) -> Element:
    """Parse an element that Python's lenient decoder accepts, and record its repairs, such as duplicate keys."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse_lenient(raw)
    doubled = has_lost_quotes(raw, value) and find_duplicate_keys(raw, lambda value: [value])
    return Element(raw, value, DUPLICATE_KEYS if doubled else None)


def _find_next_element(text: str, start: int, shape: _Shape) -> int:
    """Return the start of the next element after a damaged one, or the end of the text if there is none.

    A damaged object counts as the next element if it has a known first key and follows the end of another object.
    """
    if shape is None:
        return len(text)
    if isinstance(shape, set):
        opens = re.compile(rf"""\{{\s*+["'](?:{"|".join(map(re.escape, sorted(shape)))})["']\s*+:""")
    else:
        opens = re.compile(r"\[" if shape is list else r'(?<=")\s*+,\s*+"')
    for tries, match in enumerate(opens.finditer(text, start + 1)):
        if tries == MAX_TRIES:
            break
        place = match.end() - 1 if shape is str else match.start()
        before = text[max(start, place - 100) : place].rstrip()
        value = _value_at(text, place)
        damaged = value is _NOTHING and shape is not str and before.rstrip(",").endswith("]" if shape is list else "}")
        nested = shape is not str and before.endswith((":", "[", "\\"))
        if (damaged or _alike(value, shape)) and not nested:
            return place
    return len(text)


def _first_shape(text: str, start: int, listed: bool) -> _Shape:
    """Return the shape of the element at `start`; if it is damaged, that of a similar element or of the last object."""
    try:
        value, end = _raw_decode(text, start)
    except json.JSONDecodeError:
        pass
    else:
        if isinstance(value, dict | list) or (listed and text[end : end + 1] != ":"):
            return _shape(value)
    key = _FIRST_KEY.match(text, start)
    if key and listed:
        for match in islice(re.finditer(re.escape(key[0]), text), 1, 50):
            if shape := _shape(_value_at(text, match.start())):
                return shape
    if shape := _shape_at_end(text, listed):
        return shape
    return {key[1]} if key and listed else list if listed and text[start] == "[" else None


def _shape_at_end(text: str, listed: bool) -> _Shape:
    """Return the keys of the last object of a text if only the end of the list follows it, else `None`."""
    end = len(text)
    for _ in range(200):
        end = text.rfind("{", 0, end)
        if end < 0:
            return None
        try:
            value, stop = _raw_decode(text, end)
        except json.JSONDecodeError:
            continue
        if not text[stop:].strip(" \t\r\n,").removeprefix("]" if listed else "").strip():
            return _shape(value)
    return None


def _shape(value: object) -> _Shape:
    """Return the keys of an object, the type of a list or string, or `None` for other values."""
    if isinstance(value, dict):
        return set(value) or None
    return type(value) if isinstance(value, list | str) else None


def _alike(value: object, shape: _Shape) -> bool:
    """Return whether a value has the shape. An object must share at least half of the keys."""
    if isinstance(shape, set):
        if not isinstance(value, dict):
            return False
        return len(shape) == 1 or 2 * len(value.keys() & shape) >= len(value.keys() | shape)
    return shape is not None and isinstance(value, shape)


def _value_at(text: str, place: int) -> object:
    """Return the value that begins at `place`, or `_NOTHING` if it is not readable."""
    try:
        return _raw_decode(text, place)[0]
    except json.JSONDecodeError:
        return _NOTHING


def _read(text: str) -> tuple[object, list[str]]:
    """Return the value of a text and its repair codes. Raises `json.JSONDecodeError` if it is not repairable."""
    repairs: list[str] = []
    if "\0" in text:
        text = text.replace("\0", "")
        repairs = [NUL_BYTES]
    trimmed = text.rstrip().removesuffix(",")
    if trimmed != text.rstrip():
        repairs.append(TRAILING_COMMA)
    errors: list[json.JSONDecodeError] = []
    fixes = ((None, None), (_blank_trailing_commas, TRAILING_COMMA), (_double_unknown_escapes, INVALID_ESCAPE))
    for fix, name in fixes:
        if fix and name:
            fixed = fix(trimmed)
            if fixed == trimmed:
                continue
            trimmed = fixed
            repairs.append(name)
        try:
            value, standard = _decode(trimmed)
            return value, repairs if standard else [*repairs, NONSTANDARD]
        except json.JSONDecodeError as error:
            errors.append(error)
    if _PYTHON.match(text) and len(text) <= MAX_LITERAL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python keeps unknown escapes unchanged
                value = ast.literal_eval(text.strip().removesuffix(","))
            # A tuple without parentheses is several values, not one.
            if not isinstance(value, tuple) or text.lstrip().startswith("("):
                return _json_like(value), [PYTHON_LITERAL]
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    raise errors[0]


def _json_like(value: object) -> object:
    """Convert a Python literal to JSON types. Raises TypeError for values that JSON does not have."""
    return orjson.loads(orjson.dumps(value, default=_to_list, option=orjson.OPT_NON_STR_KEYS))


def _to_list(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    raise TypeError


def _blank_trailing_commas(text: str) -> str:
    """Replace each comma before a closing bracket, outside strings, by a space."""
    return _STRING_OR_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)


def _double_unknown_escapes(text: str) -> str:
    """Double each backslash that does not begin a JSON escape; `\\'` becomes a quote."""
    return _ESCAPE.sub(lambda match: match[0] if match[1] else "\\\\", text).replace("\\\\'", "'")


def _decode(text: str) -> tuple[object, bool]:
    """Return the value and whether the text was standard JSON."""
    try:
        return orjson.loads(text), True
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        value, end = _raw_decode(text, len(text) - len(text.lstrip()))
        if text[end:].strip():
            raise json.JSONDecodeError("Extra data", text, end) from None
    try:
        return _replace_surrogates(value), False
    except RecursionError as error:
        raise json.JSONDecodeError(f"Not readable ({error})", text, 0) from None


def _raw_decode(text: str, position: int) -> tuple[object, int]:
    """Call `JSONDecoder.raw_decode`. Too deep nesting and too long integers also raise `json.JSONDecodeError`."""
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise json.JSONDecodeError(f"Not readable ({error})", text, position) from None


def _replace_surrogates(value: object) -> object:
    """Replace lone surrogates, which UTF-8 cannot hold, by U+FFFD."""
    text = json.dumps(value, ensure_ascii=False)
    if not _SURROGATE.search(text):
        return value
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _join_repairs(*repairs: str | None) -> str | None:
    return "+".join(dict.fromkeys(filter(None, repairs))) or None
