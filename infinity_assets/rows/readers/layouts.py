"""From a record's value to conversations: which keys hold the turns.

A layout is a function from a record to its conversations, registered with a predicate. The first layout whose predicate holds reads the
record, so the order below matters: the more a layout asks for, the earlier it stands. To support another form of data, add one function.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from infinity_assets.rows.grammar import Message, Rejected, repair_roles
from infinity_assets.rows.schema import Kind

Turn = tuple[object, str | None]
"""A role as the dataset calls it, and the text; null where there is no text to be had."""

Reader = Callable[[Any], list[list[Turn]]]

CONVERSATION_KEYS = ("conversations", "conversation")


class Layout(NamedTuple):
    """One form of data."""

    name: str
    matches: Callable[[object], bool]
    read: Reader
    """The conversations of one record, as they stand in it: nearly always one."""
    kind: Kind | None
    """The kind of every row; null: told by the last turn."""


class Parsed(NamedTuple):
    """One row's worth of a record."""

    messages: list[Message]
    kind: Kind
    repair: str | None
    kept: Mapping[str, object] | None = None
    """What the record says beside its conversation and the layout keeps: name to JSON value."""


LAYOUTS: dict[str, Layout] = {}
"""The registry, in the order in which layouts are tried."""


def parse(value: object, layout: str | None = None) -> list[Parsed | Rejected]:
    """What a record holds: at least one outcome. `layout` forces one by name.

    A self-instruct record with several instances has one outcome for each, and they all share the record's position.
    """
    candidates = LAYOUTS.values() if layout is None else [LAYOUTS[layout]]
    found = next((candidate for candidate in candidates if candidate.matches(value)), None)
    if found is None:
        return [Rejected("unknown_layout", _shape(value))]
    return [_finished(turns, found.kind) for turns in found.read(value)]


def layout(name: str, matches: Callable[[object], bool], kind: Kind | None = None) -> Callable[[Reader], Reader]:
    """Register a layout."""

    def register(read: Reader) -> Reader:
        LAYOUTS[name] = Layout(name, matches, read, kind)
        return read

    return register


def has(*keys: str) -> Callable[[object], bool]:
    """A record with these keys, the first of which holds a plain value."""
    return lambda record: isinstance(record, dict) and all(key in record for key in keys) and isinstance(record[keys[0]], str | int | float)


def has_turns(*keys: str, of: type) -> Callable[[object], bool]:
    """A record with one of these keys, which holds a list of one type."""
    return lambda record: isinstance(record, dict) and any(_list_of(record.get(key), of) for key in keys)


@layout("openai", has_turns("messages", of=dict))
def openai(record: dict) -> list[list[Turn]]:
    """`messages` of role and content, the content a text or a list of typed parts."""
    return [_with_system(record, [(turn.get("role"), text_of(turn.get("content"))) for turn in record["messages"]])]


@layout("sharegpt", has_turns(*CONVERSATION_KEYS, of=dict))
def sharegpt(record: dict) -> list[list[Turn]]:
    """`conversations` of from and value; some files use OpenAI's names inside."""
    turns = [(_first(turn, "from", "role"), text_of(_first(turn, "value", "content"))) for turn in _turns(record, dict)]
    return [_with_system(record, turns)]


@layout("self_instruct", has_turns("instances", of=dict))
def self_instruct(record: dict) -> list[list[Turn]]:
    """`instruction` with `instances` of input and output: one conversation each."""
    instruction = record.get("instruction")
    return [_exchange(_request(instruction, instance.get("input")), instance.get("output")) for instance in record["instances"]]


@layout("alpaca", has("instruction"))
def alpaca(record: dict) -> list[list[Turn]]:
    """`instruction`, optionally `input`, `system` and `history` (pairs of earlier turns), and `output` or `response`."""
    history = record.get("history") or []
    if not isinstance(history, list) or not all(_list_of(pair, str) and len(pair) == 2 for pair in history):
        return [[("user", None)]]  # a conversation without its beginning would be another conversation
    earlier: list[Turn] = [turn for question, answer in history for turn in _exchange(question, answer)]
    request = _request(record["instruction"], record.get("input"))
    return [_with_system(record, earlier + _exchange(request, _first(record, "output", "response")))]


@layout("question_answer", has("question", "answer"))
def question_answer(record: dict) -> list[list[Turn]]:
    """`question` and `answer`."""
    return [_exchange(record["question"], record["answer"])]


@layout("problem_solution", has("problem", "solution"))
def problem_solution(record: dict) -> list[list[Turn]]:
    """`problem` and `solution`."""
    return [_exchange(record["problem"], record["solution"])]


@layout("prompt_completion", has("prompt"))
def prompt_completion(record: dict) -> list[list[Turn]]:
    """`prompt` and `completion` or `response`."""
    return [_exchange(record["prompt"], _first(record, "completion", "response"))]


@layout("question", has("question"))
def question(record: dict) -> list[list[Turn]]:
    """`question` alone."""
    return [_exchange(record["question"], None)]


@layout("problem", has("problem"))
def problem(record: dict) -> list[list[Turn]]:
    """`problem` alone."""
    return [_exchange(record["problem"], None)]


@layout("dialogue", lambda record: _list_of(record, str | int | float | None))
def dialogue(record: list) -> list[list[Turn]]:
    """A bare list of texts, spoken in turn, the user first."""
    return [_in_turn(record)]


@layout("dialogue_object", has_turns(*CONVERSATION_KEYS, of=str))
def dialogue_object(record: dict) -> list[list[Turn]]:
    """`conversations` of texts, spoken in turn, the user first."""
    return [_in_turn(_turns(record, str))]


@layout("text", lambda record: isinstance(record, str) or has("text")(record), kind="text")
def text(record: str | dict) -> list[list[Turn]]:
    """A passage: `text`, or a bare text."""
    return [[("user", text_of(record["text"] if isinstance(record, dict) else record))]]


def text_of(value: object) -> str | None:
    """A value as text: nothing is empty, the text parts of a typed content are joined by newlines. Null if part of it is no text."""
    if isinstance(value, str):
        return value
    if value is None or value == []:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        texts = [text for part in value if isinstance(text := _text_part(part), str)]
        return "\n".join(texts) if len(texts) == len(value) else None
    return None


def _text_part(part: object) -> object:
    """The text of a typed content part (`{"type": "text", "text": ...}`, in some files `value`); an image or a tool call has none."""
    if not isinstance(part, dict):
        return part
    return _first(part, "text", "value") if part.get("type", "text") == "text" else None


def _finished(turns: list[Turn], kind: Kind | None) -> Parsed | Rejected:
    repaired = repair_roles(turns)
    if isinstance(repaired, Rejected):
        return repaired
    messages, repair = repaired
    return Parsed(messages, kind or ("conversation" if messages[-1]["role"] == "assistant" else "instruction"), repair)


def _exchange(request: object, answer: object) -> list[Turn]:
    return [("user", text_of(request)), ("assistant", text_of(answer))]


def _request(instruction: object, context: object) -> str | None:
    """Alpaca's instruction and input as one turn."""
    parts = [text_of(instruction), text_of(context)]
    return None if None in parts else "\n\n".join(part.strip() for part in parts if part and part.strip())


def _turns(record: dict, of: type) -> list:
    return next(record[key] for key in CONVERSATION_KEYS if _list_of(record.get(key), of))


def _in_turn(texts: Iterable[object]) -> list[Turn]:
    return [(("user", "assistant")[index % 2], text_of(text)) for index, text in enumerate(texts)]


def _with_system(record: dict, turns: list[Turn]) -> list[Turn]:
    """The turns, after the record's own `system` text if it has one."""
    system = record.get("system")
    return [("system", system), *turns] if isinstance(system, str) and system.strip() else turns


def _first(record: dict, *keys: str) -> object:
    """The first of the keys that is there and not blank."""
    return next((record[key] for key in keys if record.get(key) not in (None, "")), None)


def _list_of(value: object, kind: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _shape(value: object) -> str:
    """What a record looks like, for whoever has to write its layout."""
    return f"keys: {', '.join(map(str, value))}"[:500] if isinstance(value, dict) else type(value).__name__
