"""JSON that a strict parser refuses: what can be read of it, and what was wrong.

Only what many published files get wrong is repaired: commas before a closing bracket, and what Python's own `json` writes although the
standard forbids it (NaN, lone surrogates). Anything else is damage, and damage is never guessed at.
"""

import json
import re
from bisect import bisect_right
from typing import NamedTuple

import orjson

TRAILING_COMMA = "trailing_comma"
NONSTANDARD = "nonstandard_json"
TRUNCATED = "truncated_json"
MALFORMED = "malformed_json"

# A string that is not closed ends with the text: were it no match, each quote in it would be tried again, in quadratic time.
_STRING_OR_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|,(?=\s*[\]}])', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
_LITERALS = ("true", "false", "null", "NaN", "-Infinity", "Infinity")
_DECODER = json.JSONDecoder()


class Element(NamedTuple):
    """One element of a recovered list."""

    value: object
    repair: str | None


class Rest(NamedTuple):
    """What follows the last element that could be read."""

    text: str
    error: str
    message: str


def parse_lenient(text: str) -> Element:
    """One JSON value, repaired where needed. Raises `json.JSONDecodeError` if it is damaged beyond that."""
    body = text.strip()
    trimmed = body.removesuffix(",")
    clean, commas = _blank_trailing_commas(trimmed)
    value, standard = _decode(clean)
    return Element(value, _repair(bool(commas) or trimmed != body, standard))


def recover_list(text: str) -> tuple[list[Element], Rest | None]:
    """The elements of a list, up to the first that cannot be read; what follows it is the rest.

    A removed comma counts as a repair of the element it stands in or after.
    """
    clean, commas = _blank_trailing_commas(text)
    spans, rest = _spans(clean)
    starts = [start for start, _ in spans]
    end = spans[-1][1] if rest and spans else len(clean)
    repaired = {bisect_right(starts, comma) - 1 for comma in commas if comma <= end}
    elements = []
    for index, (start, stop) in enumerate(spans):
        value, standard = _decode(clean[start:stop])
        elements.append(Element(value, _repair(index in repaired, standard)))
    return elements, rest


def ran_off_end(error: json.JSONDecodeError) -> bool:
    """Whether the parser failed because the text ended too early, as opposed to being wrong."""
    rest = error.doc[error.pos :].strip()
    if error.msg.startswith("Unterminated string") or not rest:
        return True
    return any(literal.startswith(rest) for literal in _LITERALS) or (error.msg.startswith("Invalid \\") and len(rest) <= 6)


def _spans(text: str) -> tuple[list[tuple[int, int]], Rest | None]:
    """Where each element of the list starts and ends."""
    spans: list[tuple[int, int]] = []
    position = _skip_space(text, text.index("[") + 1)
    while text[position : position + 1] != "]":
        try:
            _, end = _raw_decode(text, position)
        except json.JSONDecodeError as error:
            return spans, Rest(text[position:], TRUNCATED if ran_off_end(error) else MALFORMED, str(error))
        spans.append((position, end))
        position = _skip_space(text, end)
        match text[position : position + 1]:
            case ",":
                position = _skip_space(text, position + 1)
            case "]":
                pass
            case "":
                return spans, Rest("", TRUNCATED, "the list is not closed")
            case _:
                return spans, Rest(text[position:], MALFORMED, f"no comma after an element, at character {position}")
    tail = text[position + 1 :].strip()
    return spans, Rest(tail, MALFORMED, "text after the end of the list") if tail else None


def _blank_trailing_commas(text: str) -> tuple[str, list[int]]:
    """The text with a space for each comma before a closing bracket outside strings, and where those commas were."""
    commas: list[int] = []

    def blank(match: re.Match[str]) -> str:
        if match[0] != ",":
            return match[0]
        commas.append(match.start())
        return " "

    return _STRING_OR_COMMA.sub(blank, text), commas


def _decode(text: str) -> tuple[object, bool]:
    """The value, and whether it was standard JSON."""
    try:
        return orjson.loads(text), True
    except orjson.JSONDecodeError:
        value, end = _raw_decode(text, _skip_space(text, 0))
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
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _repair(comma: bool, standard: bool) -> str | None:
    return "+".join(name for name, found in ((TRAILING_COMMA, comma), (NONSTANDARD, not standard)) if found) or None


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
