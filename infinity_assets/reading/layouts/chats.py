"""Layouts whose turns are written out: message lists, dialogue acts, numbered turns, message trees."""

import re

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import NUMBERED, pair_of, record_turns, turns_of, with_system
from infinity_assets.reading.layouts.values import ANSWERS, Turn, joined, list_of, plain_key, text_of
from infinity_assets.rows.grammar import ROLES

TURN_LISTS = ("dialog", "dialogue", "dialogs", "turns", "utterances", "chat", "log", "data", "thread")
"""Keys of lists of turns, beside those of OpenAI and ShareGPT."""

RELEASED = ("id", "label", "langdetect", "source", "reward")
"""What Infinity-Instruct's released files say of a conversation."""

_NUMBERED_KEY = re.compile(r"^([a-z]+)_?(\d{1,9})$")
_MOSS_MARKS = re.compile(r"^\s*<\|[\w ]+\|>\s*:?\s*|\s*<eo[a-z]>\s*$")


@layout("infinity_instruct", ("conversations",), ("label", "langdetect", "reward"))
def infinity_instruct(record: dict) -> list[Draft] | None:
    """Infinity-Instruct as released: ShareGPT's `conversations`; id, label, langdetect, source and reward are kept."""
    turns = record_turns(record, "conversations")
    return (
        None if turns is None else [Draft(turns, {key: record[key] for key in RELEASED if record.get(key) is not None})]
    )


@layout("openai", ("messages",))
def openai(record: dict) -> list[Draft] | None:
    """`messages` of role and content, the content a text or a list of typed parts."""
    turns = record_turns(record, "messages")
    return None if turns is None else [Draft(_instructed(record, turns))]


@layout("sharegpt", ("conversations", "conversation"))
def sharegpt(record: dict) -> list[Draft] | None:
    """`conversations` of from and value; some files use OpenAI's names inside, or objects of human and assistant.

    An `instruction` beside them that no turn repeats stands before the first request.
    """
    turns = record_turns(record, "conversations", "conversation")
    return None if turns is None else [Draft(_instructed(record, turns))]


@layout(
    "numbered_turns",
    asks=lambda keys: "chat" in keys or any(NUMBERED.match(key) or _NUMBERED_KEY.match(key) for key in keys),
)
def numbered_turns(record: dict) -> list[Draft] | None:
    """Turns under numbered keys: MOSS's `chat` of `turn_1`, ..., the same without `chat`, or `instruction_1`, `response_1`, ...

    MOSS's marks are stripped, commands and results become tool use, inner thoughts are kept as `inner_thoughts`, one a turn.
    """
    chat = record.get("chat", record)
    if not isinstance(chat, dict):
        return None
    numbered = [turn for key, turn in chat.items() if NUMBERED.match(plain_key(key)) and isinstance(turn, dict)]
    numbered = numbered or _grouped(chat)
    turns: list[Turn] = []
    thoughts: list[str | None] = []
    for turn in numbered:
        turn = {plain_key(key): _unmarked(value) for key, value in turn.items()}
        pair = pair_of(turn)
        if not pair:
            return None
        command, result = turn.get("commands"), turn.get("tool_responses")
        used = [tools.spoken("tool_call", command, {}), tools.spoken("tool", result, {})] if command else []
        turns += [pair[0], *used, pair[1]]
        thoughts.append(text_of(turn.get("inner_thoughts")) or None)
    kept = {"inner_thoughts": thoughts} if any(thoughts) else None
    return [Draft(with_system(record, turns), kept)] if turns else None


@layout("user_turns", ("turns", "prompt"), ("question_id", "prompt_id", "category", "reference"))
def user_turns(record: dict) -> list[Draft] | None:
    """MT-bench's `turns`, or `prompt`: texts that are all the user's. The first is the row, the others are kept as `later_turns`."""
    texts = record.get("turns", record.get("prompt"))
    if not list_of(texts, str) or not ANSWERS.keys().isdisjoint(record):
        return None
    return [Draft(with_system(record, [("user", texts[0])]), {"later_turns": texts[1:]} if texts[1:] else None)]


@layout("dialogue", TURN_LISTS, bare=(list,))
def dialogue(record: list | dict) -> list[Draft] | None:
    """A list of turns, bare or under one of many names: objects of speaker and utterance (as SGD's), or texts, the user speaking first."""
    if isinstance(record, list):
        turns = turns_of(record)
        return None if turns is None else [Draft(turns)]
    turns = record_turns(record, *TURN_LISTS)
    return None if turns is None else [Draft(turns)]


@layout("message_tree", ("prompt",))
def message_tree(record: dict) -> list[Draft] | None:
    """OpenAssistant's trees: `prompt` with nested `replies`. The best-ranked path is the row; `other_replies` counts the rest."""
    message, turns, others = record["prompt"], [], 0
    if not isinstance(message, dict) or "replies" not in message:
        return None
    while isinstance(message, dict):
        turns.append((message.get("role"), text_of(message.get("text"))))
        replies = (
            [reply for reply in message.get("replies") or () if isinstance(reply, dict)]
            if list_of(message.get("replies"), dict)
            else []
        )
        message = min(replies, key=_rank, default=None)
        others += max(0, len(replies) - 1)
    return [Draft(turns, {"other_replies": others} if others else None)]


def _rank(reply: dict) -> float:
    """Zero is the best; replies that nobody ranked come last."""
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")


def _instructed(record: dict, turns: list[Turn]) -> list[Turn]:
    instruction = record.get("instruction")
    if not isinstance(instruction, str) or any(instruction.strip() in text for _, text in turns if text):
        return turns
    first = next(
        (
            index
            for index, (name, _) in enumerate(turns)
            if name == "user" or ROLES.get(str(name).strip().lower()) == "user"
        ),
        None,
    )
    if first is None or turns[first][1] is None:
        return turns
    return [*turns[:first], (turns[first][0], joined(instruction, turns[first][1])), *turns[first + 1 :]]


def _grouped(record: dict) -> list[dict]:
    """The values of keys that end in a number, by that number, if each number has a user's and an assistant's."""
    groups: dict[int, dict] = {}
    for key, value in record.items():
        if found := _NUMBERED_KEY.match(plain_key(key)):
            groups.setdefault(int(found[2]), {})[found[1]] = value
    return [groups[number] for number in sorted(groups)] if all(map(pair_of, groups.values())) else []


def _unmarked(value: object) -> object:
    """A text without MOSS's marks; nothing where it says `None`, as it also does with a full stop."""
    if not isinstance(value, str):
        return value
    text = _MOSS_MARKS.sub("", value)
    return "" if text.strip().rstrip(".") in ("None", "none") else text
