"""The turns of a value that is a conversation, whatever its turns are called."""

import re
from collections.abc import Iterable

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.values import (
    SYSTEMS,
    Turn,
    first_of,
    is_plain,
    joined,
    list_of,
    loaded,
    plain_key,
    text_of,
)
from infinity_assets.rows.grammar import ROLES

ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "utterance", "message", "parts")
"""Keys of a turn that is an object."""

COMMON = (("role", "content"), ("from", "value"), ("speaker", "utterance"))
"""The usual ones."""

USER_KEYS = ("user", "human", "question", "q", "query", "instruction", "prompt", "input", "用户", "问", "问题")
ASSISTANT_KEYS = (
    "assistant",
    "moss",
    "bot",
    "gpt",
    "chatbot",
    "answer",
    "a",
    "response",
    "output",
    "completion",
    "助手",
    "答",
    "回答",
)
"""Keys of the two sides of a pair."""

NUMBERED = re.compile(r"^(?:(?:turn|round|step)_?)?\d+$")
"""A key that says which turn it holds."""

_BESIDE = frozenset((*SYSTEMS, *tools.DEFINITIONS))


def turns_of(value: object) -> list[Turn] | None:
    """The turns of a value that is a whole conversation: a list of objects, of pairs or of texts spoken in turn; null if it is none.

    Also the JSON text of one, numbered turns, and the columns that the Hub makes of a list of objects (`{"speaker": [...], ...}`).
    """
    value = loaded(value)
    if isinstance(value, dict):
        value = _rows(value)
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], dict):
        return _spoken(value) if list_of(value, dict) else None
    if all(is_plain(item) or item is None for item in value):
        return in_turn(value)
    if all(isinstance(item, list) and len(item) == 2 and all(map(is_plain, item)) for item in value):
        return [turn for pair in value for turn in in_turn(pair)]
    return None


def is_turn(value: object) -> bool:
    """Whether it is an object of a role and what was said."""
    if not isinstance(value, dict):
        return False
    return _names_speaker(value) and any(plain_key(key) in CONTENT_KEYS for key in value)


def in_turn(texts: Iterable[object]) -> list[Turn]:
    """Texts spoken in turn, the user first."""
    return [(("user", "assistant")[index % 2], text_of(text)) for index, text in enumerate(texts)]


def exchange(request: object, answer: object) -> list[Turn]:
    """A request and its answer."""
    return [("user", text_of(request)), ("assistant", text_of(answer))]


def pair_of(record: dict) -> list[Turn] | None:
    """An object with a user's key and an assistant's, as two turns; null if one of the keys is missing."""
    record = {plain_key(key): value for key, value in record.items()}
    user = next((key for key in USER_KEYS if key in record), None)
    assistant = next((key for key in ASSISTANT_KEYS if key in record), None)
    return exchange(record[user], record[assistant]) if user and assistant else None


def with_system(record: dict, turns: list[Turn]) -> list[Turn]:
    """The turns, with the record's own system prompt before them, and its tool definitions unless they stand in the prompt."""
    if _BESIDE.isdisjoint(record):
        return turns
    system, definitions = text_of(first_of(record, SYSTEMS)) or "", tools.definitions(record)
    if turns and turns[0][0] == "system":
        own = turns[0][1]
        turns, system = turns[1:], joined(system if system != own else "", own)
    if system and "<tools>" in system:
        definitions = ""
    whole = None if definitions is None else joined(system, definitions)
    return turns if whole == "" else [("system", whole), *turns]


def record_turns(record: dict, *keys: str) -> list[Turn] | None:
    """The conversation under the first of these keys that holds one."""
    for key in keys:
        if key in record and (turns := turns_of(record[key])):
            return with_system(record, turns)
    return None


def _spoken(turns: list[dict]) -> list[Turn] | None:
    """Turns that are objects."""
    found: list[Turn] = []
    plain = True
    first = turns[0]
    keys = next(((role, content) for role, content in COMMON if role in first and content in first), None)
    if keys is None and not any(_names_speaker(turn) for turn in turns):
        return _without_roles(turns)
    for turn in turns:
        if keys and keys[0] in turn:
            name, content = turn[keys[0]], turn.get(keys[1])
        else:
            turn = {plain_key(key): value for key, value in turn.items()}
            name, content = first_of(turn, ROLE_KEYS), first_of(turn, CONTENT_KEYS)
        if not is_plain(name):
            name = None
        if isinstance(content, str) and name in ROLES and (len(turn) == 2 or tools.EXTRAS.isdisjoint(turn)):
            found.append((name, content))
        else:
            side, text = tools.spoken(name, content, turn)
            opens = side != name and not any(earlier != "system" for earlier, _ in found)
            found.append(
                (name if opens and side == "user" else side, text)
            )  # a result that answers no call stays no turn of ours
            plain = False
    if "speaker" in first or "Speaker" in first:
        return _speakers(found)
    return found if plain else tools.with_joined_calls(found)


def _names_speaker(turn: dict) -> bool:
    return any(plain_key(key) in ROLE_KEYS for key in turn)


def _without_roles(turns: list[dict]) -> list[Turn] | None:
    """Pairs of a user's and an assistant's key; or texts spoken in turn."""
    pairs = [pair_of(turn) for turn in turns]
    if all(pairs):
        return [turn for pair in pairs if pair for turn in pair]
    if all(is_plain(turn.get("text")) or is_plain(turn.get("utterance")) for turn in turns):
        return in_turn(first_of(turn, ("text", "utterance")) for turn in turns)
    return (
        [(None, text_of(turn.get("content"))) for turn in turns]
        if any("content" in turn or "value" in turn for turn in turns)
        else None
    )


def _speakers(turns: list[Turn]) -> list[Turn]:
    """Turns named by their speakers: the system of a task-oriented dialogue answers; of two people, the first one asks."""
    names = list(dict.fromkeys(str(name).strip().lower() for name, _ in turns))
    roles = {name: ROLES.get(name) for name in names}
    if "system" in roles and "assistant" not in roles.values():
        roles["system"] = "assistant"
    if len(names) == 2 and not any(roles.values()):
        roles = dict(zip(names, ("user", "assistant"), strict=True))
    return [(roles[str(name).strip().lower()] or name, content) for name, content in turns]


def _rows(columns: dict) -> object:
    """A list of objects from an object of equally long lists, or from numbered objects."""
    if (
        columns
        and all(isinstance(column, list) for column in columns.values())
        and len({len(column) for column in columns.values()}) == 1
    ):
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if columns and all(NUMBERED.match(plain_key(key)) for key in columns):
        return list(columns.values())
    return columns
