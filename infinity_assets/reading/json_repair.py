"""JSON that a strict parser refuses: what can be read of it, and what was wrong.

Repaired is what many published files get wrong and what has one reading: commas too many, escapes that JSON does not know, raw control
characters and NUL bytes, Python's `repr` in place of JSON, what Python's own `json` writes although the standard forbids it (NaN, lone
surrogates), several values where one should be. Anything else is damage, and damage is never guessed at: the damaged value is handed on as
it is, and reading goes on behind it.
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
from infinity_assets.reading.structure import elements

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
"""Places at which reading is tried again behind one damaged value."""

_PASSED, _WINDOW = 1 << 18, 1 << 16
"""Characters: how much of a text is kept behind what was read; in how many the end of a damaged value is looked for."""

MAX_LITERAL = 1 << 26
"""Characters of Python source that are parsed: its parser takes some hundred times the memory."""

# A string that is not closed ends with the text: were it no match, each quote in it would be tried again, in quadratic time.
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
"""What elements of a list have in common: the keys of objects, or that they are lists, or strings."""


class Element(NamedTuple):
    """One value of a text, or a stretch of it that is none."""

    raw: bytes
    """The bytes it was read from."""
    value: object = None
    repair: str | None = None
    """What was repaired to read it, joined by `+`."""
    error: str | None = None
    """`truncated_json` or `malformed_json`."""
    message: str | None = None
    """What the parser said."""


def parse_lenient(data: bytes) -> Element:
    """One JSON value, repaired where needed. What cannot be read is an element with an error."""
    text, encoding = decode(data.strip())
    if encoding == UNKNOWN_ENCODING:
        return Element(data, error=UNKNOWN_ENCODING, message=UNKNOWN_MESSAGE)
    try:
        value, repairs = _read(text)
    except json.JSONDecodeError as error:
        return Element(data, error=TRUNCATED if ran_off_end(error) else MALFORMED, message=str(error))
    return Element(data, value, _joined(encoding, *repairs))


def recover(data: bytes, listed: bool) -> Iterator[Element]:
    """The values of a text that is no valid JSON as a whole: elements of a list, or objects one after the other.

    Behind a damaged value reading goes on where a value begins that looks like those before it.

    Args:
        data: The text; of a list, what follows its `[`.
        listed: Whether it is a list, which should have commas and an end.
    """
    text = data.decode(errors="surrogateescape")
    position, separator = 0, ""
    shape: _Shape = None
    held: Element | None = None  # the last element: whether the list is closed shows behind it
    early = False
    while True:
        if position > max(_PASSED, len(text) // 32):  # an error of the decoder counts the lines before it
            text, position = text[position:], 0
        start = _BETWEEN.match(text, position).end()  # pyright: ignore[reportOptionalMemberAccess]
        separator = text[position:start]
        closed = listed and text[start : start + 1] == "]"
        if held:
            wrong = [TRAILING_COMMA] if "," in separator and (closed or separator.count(",") > 1) else []
            wrong += (
                [MISSING_COMMA]
                if listed and "," not in separator and start < len(text) and not closed and not held.error
                else []
            )
            wrong += [LIST_NOT_CLOSED] if listed and start == len(text) and not held.error else []
            yield held._replace(repair=_joined(held.repair, *wrong))
            held = None
        if start == len(text):
            return
        if closed:
            again = _AGAIN.match(text, start)
            if not again or not _alike(_value_at(text, again.end()), shape):
                if rest := text[start + 1 :].strip():
                    yield Element(_bytes(rest), error=MALFORMED, message=AFTER_THE_LIST)
                return
            start, early = again.end(), True
        shape = shape or _first_shape(text, start, listed)
        held, position = _next_element(text, start, shape, listed)
        if early:
            held, early = held._replace(repair=_joined(held.repair, LIST_CLOSED_EARLY)), False
        if not held.error:
            shape = _shape(held.value) or shape


class OpenList(NamedTuple):
    """A list among the members of an object, with damage in it."""

    members: dict[str, object]
    """The members before it."""
    key: str
    rest: bytes
    """What follows its `[`."""


def open_list(data: bytes) -> OpenList | None:
    """The list with the damage in a text that is one object, if it is in a list."""
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
            is_list = text.startswith("[", match.end())
            return (
                OpenList(members, json.loads(match[1], strict=False), _bytes(text[match.end() + 1 :]))
                if is_list
                else None
            )
    return None


def ran_off_end(error: json.JSONDecodeError) -> bool:
    """Whether the parser failed because the text ended too early, as opposed to being wrong."""
    rest = error.doc[error.pos :].strip()
    if error.msg.startswith("Unterminated string") or not rest:
        return True
    return any(literal.startswith(rest) for literal in _LITERALS) or (
        error.msg.startswith("Invalid \\") and len(rest) <= 6
    )


def duplicated(data: bytes, items_of: Callable[[object], list[object]]) -> set[int]:
    """The places of the items of a text of JSON that have an object which names a key twice.

    Args:
        data: The text. One that is nested too deep has none.
        items_of: Makes items of its value. Where it makes new objects of those with a double key, the first item stands for all.
    """
    doubles: list[dict] = []

    def collect(pairs: list[tuple[str, object]]) -> dict:
        made = dict(pairs)
        if len(made) < len(pairs):
            doubles.append(made)
        return made

    try:
        items = items_of(json.loads(data, object_pairs_hook=collect, strict=False))
    except (ValueError, RecursionError):
        return set()
    return places_of(items, doubles)


def places_of(items: list[object], doubles: list[dict]) -> set[int]:
    """The places of the items that hold one of some objects (the very objects, not equal ones); the first if none does."""
    if not doubles:
        return set()
    found = {id(double) for double in doubles}
    return {place for place, item in enumerate(items) if _holds(item, found)} or {0}


def lost_quotes(data: bytes, *values: object) -> bool:
    """Whether a text of JSON has more quotes than its values, which is so where a key was named twice: the first of its values is lost.

    True as well for values that are nested deeper than they can be written.
    """
    try:
        return _quotes(data) > _quotes(b"".join(map(orjson.dumps, values)))
    except orjson.JSONEncodeError:
        return True


def _quotes(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord('"')))


def _holds(value: object, wanted: set[int]) -> bool:
    """Whether an object of these identities is anywhere in a value, however deep."""
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
    """The element that begins there, and where it ends."""
    try:
        value, end = _raw_decode(text, start)
    except json.JSONDecodeError:
        pass
    else:
        follows = text[end : end + 1]
        if follows != ":" and (
            isinstance(value, dict | list) or (listed and follows in " \t\r\n,]" and not isinstance(shape, set))
        ):
            return _strictly(_bytes(text[start:end])), end
    end = _resume(text, start, shape)
    piece = text[start:end].rstrip()
    first = elements(_bytes(piece[:_WINDOW]))[0]
    if first != _bytes(piece):  # where its brackets close, if it only wants repair and what follows has another shape
        one = parse_lenient(first)
        if isinstance(one.value, dict | list):
            return one, start + len(first.decode(errors="surrogateescape"))
    if end == len(text):
        # The bracket that closes the list is no part of a damaged last element.
        for closing in ("]", "") if piece.endswith("]") else ("",):
            whole = parse_lenient(_bytes(piece.removesuffix(closing).rstrip().rstrip(",")))
            if not whole.error:
                return whole, start + len(piece.removesuffix(closing))
        return parse_lenient(_bytes(piece)), end
    piece = piece.rstrip(",").rstrip()
    return parse_lenient(_bytes(piece)), start + len(piece)


def _strictly(raw: bytes) -> Element:
    """An element that Python's decoder has read, as strict JSON if it is that."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse_lenient(raw)
    doubled = lost_quotes(raw, value) and duplicated(raw, lambda value: [value])
    return Element(raw, value, DUPLICATE_KEYS if doubled else None)


def _resume(text: str, start: int, shape: _Shape) -> int:
    """Where an element begins, behind a damaged one; the end of the text if that cannot be told.

    An object that is damaged itself counts by its first key, if it follows the end of another one.
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
    """The shape of the element that begins there; if it is damaged, of one that begins like it, or of the last object of the text."""
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
    """The keys of the last object of a text, if nothing follows it but the end of the list."""
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
    """The keys of an object, or the type of a list or string."""
    if isinstance(value, dict):
        return set(value) or None
    return type(value) if isinstance(value, list | str) else None


def _alike(value: object, shape: _Shape) -> bool:
    """Whether a value has the shape: of an object, half the keys."""
    if isinstance(shape, set):
        return isinstance(value, dict) and (
            2 * len(value.keys() & shape) >= len(value.keys() | shape) or len(shape) == 1
        )
    return shape is not None and isinstance(value, shape)


def _value_at(text: str, place: int) -> object:
    """The value that begins there, or `_NOTHING`."""
    try:
        return _raw_decode(text, place)[0]
    except json.JSONDecodeError:
        return _NOTHING


def _read(text: str) -> tuple[object, list[str]]:
    """The value of a text, and what was repaired. Raises `json.JSONDecodeError`."""
    repairs: list[str] = []
    if "\0" in text:
        text, repairs = text.replace("\0", ""), [NUL_BYTES]
    trimmed = text.rstrip().removesuffix(",")
    if trimmed != text.rstrip():
        repairs.append(TRAILING_COMMA)
    first: json.JSONDecodeError | None = None
    for fix, name in (
        (None, None),
        (_blank_trailing_commas, TRAILING_COMMA),
        (_double_unknown_escapes, INVALID_ESCAPE),
    ):
        fixed = fix(trimmed) if fix else trimmed
        if fix and fixed == trimmed:
            continue
        if name:
            repairs.append(name)
        trimmed = fixed
        try:
            value, standard = _decode(trimmed)
            return value, repairs if standard else [*repairs, NONSTANDARD]
        except json.JSONDecodeError as error:
            first = first or error
    if _PYTHON.match(text) and len(text) <= MAX_LITERAL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an escape that Python does not know is kept as it stands
                value = ast.literal_eval(text.strip().removesuffix(","))
            if not isinstance(value, tuple) or text.lstrip().startswith(
                "("
            ):  # else several values with commas between them
                return _json_like(value), [PYTHON_LITERAL]
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    assert first
    raise first


def _json_like(value: object) -> object:
    """A Python literal as JSON holds it. Raises TypeError for what JSON has no form for."""
    text = orjson.dumps(value, default=_listed, option=orjson.OPT_NON_STR_KEYS)
    return orjson.loads(text)


def _listed(value: object) -> object:
    if isinstance(value, tuple | set | frozenset):
        return sorted(value, key=repr) if not isinstance(value, tuple) else list(value)
    raise TypeError


def _blank_trailing_commas(text: str) -> str:
    """The text with a space for each comma before a closing bracket outside strings."""
    return _STRING_OR_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)


def _double_unknown_escapes(text: str) -> str:
    """The text with two backslashes for one that begins no escape of JSON; `\\'` is a quote."""
    return _ESCAPE.sub(lambda match: match[0] if match[1] else "\\\\", text).replace("\\\\'", "'")


def _decode(text: str) -> tuple[object, bool]:
    """The value, and whether it was standard JSON."""
    try:
        return orjson.loads(text), True
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        value, end = _raw_decode(text, len(text) - len(text.lstrip()))
        if text[end:].strip():
            raise json.JSONDecodeError("Extra data", text, end) from None
    try:
        return _without_surrogates(value), False
    except RecursionError as error:
        raise json.JSONDecodeError(f"Not readable ({error})", text, 0) from None


def _raw_decode(text: str, position: int) -> tuple[object, int]:
    """`JSONDecoder.raw_decode` with one kind of error: it also meets nesting that is too deep and integers that are too long."""
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise json.JSONDecodeError(f"Not readable ({error})", text, position) from None


def _without_surrogates(value: object) -> object:
    """The value with U+FFFD for each lone surrogate: no UTF-8 file can hold one."""
    text = json.dumps(value, ensure_ascii=False)
    if not _SURROGATE.search(text):
        return value
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _joined(*repairs: str | None) -> str | None:
    return "+".join(dict.fromkeys(filter(None, repairs))) or None
