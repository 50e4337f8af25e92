"""Extraction of the turns from a conversation in any of its forms."""

import re
from collections.abc import Iterable

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.facts import JUDGED, MEDIA, judge
from infinity_assets.reading.layouts.values import (
    SYSTEMS,
    Turn,
    first_of,
    is_missing,
    is_plain,
    join_texts,
    list_of,
    load_json,
    text_of,
)
from infinity_assets.reading.names import NAMES, plain_key
from infinity_assets.rows.grammar import ROLES, Masked

ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type")
CONTENT_KEYS = ("content", "value", "text", "utterance", "message", "parts")
"""Keys of the content in a turn that is an object."""

COMMON = (("role", "content"), ("from", "value"), ("speaker", "utterance"))
"""Usual pairs of the key of the role and the key of the content."""

USER_KEYS = NAMES["user_of_pair"]
ASSISTANT_KEYS = NAMES["assistant_of_pair"]
"""Keys of the assistant's side of a pair."""

NUMBERED = re.compile(r"^(?:(?:turn|round|step)_?)?\d+$")
"""Matches keys that are or end in the number of a turn, such as `turn_3`."""

IS_USER = ("is_human", "is_user", "from_user", "iscreatedbyuser", "isuser", "by_user")
IS_ASSISTANT = ("is_bot", "is_assistant", "is_ai", "from_bot", "isbot", "is_model")
"""Keys of a boolean that says who speaks a turn."""

LEARNED = frozenset(
    (
        "weight", "loss", "train", "trainable", "train_on", "train_on_turn", "train_detail", "training", "learn",
        "loss_scale", "loss_weight", "loss_mask",
    )
)  # fmt: skip
"""Keys of a turn that say whether it is learned: no if false or zero (OpenAI, ms-swift, axolotl)."""

LISTED_MASKS = ("loss_mask", "train_on", "train_mask", "weights", "trainable")
"""Keys of a record that say so for each turn, in a list."""

_LISTED_MASKS = frozenset(LISTED_MASKS)

MASKED = frozenset(("masked", "is_masked"))
"""Keys of a turn that say whether it is excluded from training."""

_NO = frozenset((False, "false", "False", "0", "0.0"))
_YES = frozenset((True, "true", "True", "1", "1.0"))
_MASKS = LEARNED | MASKED
_MORE = tools.EXTRAS | _MASKS | MEDIA | JUDGED
_BESIDE = frozenset((*SYSTEMS, *tools.DEFINITIONS))


def turns_of(value: object) -> list[Turn] | None:
    """Return the turns of a conversation: a list of objects, pairs or alternating texts; `None` for any other value.

    Also reads the JSON text of such a list, numbered turns, and the columns that the Hub makes of a list of objects
    (`{"speaker": [...], ...}`).
    """
    value = load_json(value)
    if isinstance(value, dict):
        value = list_rows(value)
    if not isinstance(value, list) or not value:
        return None
    if len(value) == 1 and isinstance(value[0], list):
        return turns_of(value[0])
    if isinstance(value[0], dict):
        if not list_of(value, dict):
            return None
        return _read_objects([_unwrap(turn) for turn in value] if "kwargs" in value[0] else value)
    if all(is_plain(item) or item is None for item in value):
        return alternate_roles(value)
    if all(isinstance(item, list) and len(item) == 2 and all(map(is_plain, item)) for item in value):
        if all(isinstance(name, str) and name.strip().lower() in ROLES for name, _ in value):
            return [(name, text_of(text)) for name, text in value]
        return [turn for pair in value for turn in alternate_roles(pair)]
    return None


def _unwrap(turn: dict) -> dict:
    """Return a message that LangChain wrote as the call of a constructor like any other message."""
    kind, values = turn.get("id"), turn.get("kwargs")
    if turn.get("type") != "constructor" or not isinstance(kind, list) or not isinstance(values, dict):
        return turn
    return {**{key: value for key, value in values.items() if key != "type"}, "role": str(kind[-1])}


def is_turn(value: object) -> bool:
    """Return whether a value is an object with a role and a content."""
    if not isinstance(value, dict):
        return False
    if "kwargs" in value:
        value = _unwrap(value)
    return _has_speaker(value) and any(plain_key(key) in CONTENT_KEYS for key in value)


def alternate_roles(texts: Iterable[object]) -> list[Turn]:
    """Return texts as alternating turns, the user first."""
    return [(("user", "assistant")[index % 2], text_of(text)) for index, text in enumerate(texts)]


def make_exchange(request: object, answer: object) -> list[Turn]:
    """Return a request and its answer as turns."""
    return [("user", text_of(request)), ("assistant", text_of(answer))]


def pair_of(record: dict) -> list[Turn] | None:
    """Return the user's and the assistant's text of an object as two turns, or `None` if a key is missing."""
    record = {plain_key(key): value for key, value in record.items()}
    user = next((key for key in USER_KEYS if key in record), None)
    assistant = next((key for key in ASSISTANT_KEYS if key in record), None)
    return make_exchange(record[user], record[assistant]) if user and assistant else None


def add_system(record: dict, turns: list[Turn]) -> list[Turn]:
    """Prepend a record's system prompt and its tool definitions, unless the prompt already contains tools."""
    if _BESIDE.isdisjoint(record):
        return turns
    prompt = tools.render_content(first_of(record, SYSTEMS))
    if prompt is None:
        return [("system", None), *turns]
    system = prompt.removeprefix("SYSTEM:").lstrip() if prompt.startswith("SYSTEM:") else prompt
    definitions = tools.render_definitions(record)
    if turns and turns[0][0] == "system":
        own = turns[0][1]
        turns = turns[1:]
        system = join_texts(system if system != own else "", own)
    if system and "<tools>" in system:
        definitions = ""
    whole = None if definitions is None else join_texts(system, definitions)
    return turns if whole == "" else [("system", whole), *turns]


def record_turns(record: dict, *keys: str) -> list[Turn] | None:
    """Return the turns under the first of these keys that holds any, with the system prompt of the record."""
    for key in keys:
        if key in record and (turns := turns_of(record[key])):
            return add_system(record, _mask(record, turns))
    return None


def _mask(record: dict, turns: list[Turn]) -> list[Turn]:
    """Return turns with the masks that stand in a list beside them."""
    if _LISTED_MASKS.isdisjoint(record):
        return turns
    for key in LISTED_MASKS:
        marks = record.get(key)
        if isinstance(marks, list) and len(marks) == len(turns) and all(map(is_plain, marks)):
            return [
                (name, Masked(text) if mark in _NO and text is not None else text)
                for (name, text), mark in zip(turns, marks, strict=True)
            ]
    return turns


def _read_objects(turns: list[dict]) -> list[Turn] | None:
    """Return the turns of a list of objects."""
    result: list[Turn] = []
    plain = True
    first = turns[0]
    keys = next(((role, content) for role, content in COMMON if role in first and content in first), None)
    if keys is None and not any(_has_speaker(turn) for turn in turns):
        named = [_name_speaker(turn) for turn in turns]
        return _read_objects([turn for turn in named if turn]) if all(named) else _read_without_roles(turns)
    for turn in turns:
        if keys and keys[0] in turn:
            name = turn[keys[0]]
            content = turn.get(keys[1])
        else:
            turn = {plain_key(key): value for key, value in turn.items()}
            name = first_of(turn, ROLE_KEYS)
            content = first_of(turn, CONTENT_KEYS)
            if content is None and isinstance(turn.get("data"), dict):  # LangChain
                more = turn["data"].get("additional_kwargs")
                turn = {**turn["data"], **(more if isinstance(more, dict) else {})}
                content = turn.get("content")
        if isinstance(name, dict):
            name = first_of(name, ("role", "name"))
        if not is_plain(name):
            name = None
        if isinstance(content, str) and name in ROLES and (len(turn) == 2 or _MORE.isdisjoint(turn)):
            result.append((name, content))
        else:
            side, text = tools.render_turn(name, content, turn)
            # A result without a call keeps its role, which the grammar rejects.
            opens = side != name and not any(earlier != "system" for earlier, _ in result)
            if opens and isinstance(name, str) and name.strip().lower() == "environment":  # it describes the world
                name, text = "system", text_of(content)
            if not MEDIA.isdisjoint(turn) and any(not is_missing(turn[key]) for key in MEDIA & turn.keys()):
                text = None
            elif text is not None and _is_masked(turn):
                text = Masked(text)
            result.append((name if opens and side == "user" else side, text))
            plain = False
    if "speaker" in first or "Speaker" in first or any(name == "sys" for name, _ in result):
        return _assign_roles([("system" if name == "sys" else name, text) for name, text in result])
    return result if plain else tools.join_calls(result)


def _name_speaker(turn: dict) -> dict | None:
    """Return a turn with the role that a boolean tells, or `None` if there is none."""
    names = {plain_key(key): value for key, value in turn.items()}
    for keys, role in ((IS_USER, "user"), (IS_ASSISTANT, "assistant")):
        said = next((names[key] for key in keys if isinstance(names.get(key), bool)), None)
        if said is not None:
            other = "assistant" if role == "user" else "user"
            return {"role": role if said else other, "content": first_of(names, CONTENT_KEYS)}
    return None


def _is_masked(turn: dict) -> bool:
    """Return whether a dataset excludes a turn from training, or calls it wrong."""
    if not JUDGED.isdisjoint(turn) and any(judge(key, turn[key]) == "wrong" for key in JUDGED & turn.keys()):
        return True
    if _MASKS.isdisjoint(turn):
        return False
    facts = {key: value for key, value in turn.items() if isinstance(value, str | int | float)}
    return any(facts.get(key) in _NO for key in LEARNED) or any(facts.get(key) in _YES for key in MASKED)


def _has_speaker(turn: dict) -> bool:
    return any(plain_key(key) in ROLE_KEYS and not _is_plain_type(key, turn[key]) for key in turn)


def _is_plain_type(key: object, value: object) -> bool:
    """Return whether a key is the `type` of a part, or of anything else that is no message."""
    return key == "type" and not (isinstance(value, str) and value.strip().lower() in ROLES)


def _read_without_roles(turns: list[dict]) -> list[Turn] | None:
    """Return the turns of objects without roles: pairs of a user's and an assistant's key, or alternating texts."""
    if len(turns) > 1 and all(len(turn) == 1 and str(next(iter(turn))).strip().lower() in ROLES for turn in turns):
        return [(name, text_of(text)) for turn in turns for name, text in turn.items()]
    pairs = [pair_of(turn) for turn in turns]
    if all(pairs):
        return [turn for pair in pairs if pair for turn in pair]
    if all(is_plain(turn.get("text")) or is_plain(turn.get("utterance")) for turn in turns):
        return alternate_roles(first_of(turn, ("text", "utterance")) for turn in turns)
    if any("content" in turn or "value" in turn for turn in turns):
        return [(None, text_of(turn.get("content"))) for turn in turns]
    return None


def _assign_roles(turns: list[Turn]) -> list[Turn]:
    """Map speakers to roles. In task dialogues, `system` is the assistant. Of two people, the first is the user."""
    names = list(dict.fromkeys(str(name).strip().lower() for name, _ in turns))
    roles = {name: ROLES.get(name) for name in names}
    if "system" in roles and "assistant" not in roles.values():
        roles["system"] = "assistant"
    if len(names) == 2 and not all(roles.values()) and "system" not in roles.values():
        roles = dict(zip(names, ("user", "assistant"), strict=True))
    return [(roles[str(name).strip().lower()] or name, content) for name, content in turns]


def list_rows(columns: dict) -> object:
    """Convert an object of equally long lists, or of numbered objects, to a list of objects."""
    lists = [column for column in columns.values() if isinstance(column, list)]
    if columns and len(lists) == len(columns) and len(set(map(len, lists))) == 1:
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]
    if columns and all(NUMBERED.match(plain_key(key)) for key in columns):
        return list(columns.values())
    return columns
