"""Layouts with explicit turns: message lists, dialogues, numbered turns, message trees."""

import re

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.answers import extract_answer
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import NUMBERED, add_system, pair_of, record_turns, turns_of
from infinity_assets.reading.layouts.values import ANSWERS, CONTEXTS, Turn, first_of, join_texts, list_of, text_of
from infinity_assets.reading.names import plain_key
from infinity_assets.rows.grammar import ROLES, Rejected

TURN_LISTS = ("dialog", "dialogue", "dialogs", "turns", "utterances", "chat", "log", "data", "thread", "contents")
"""Keys of a list of turns, other than OpenAI's and ShareGPT's."""

RELEASED = ("id", "label", "langdetect", "source", "reward")
"""Keys in Infinity-Instruct's released files, apart from the conversation."""

_NUMBERED_KEY = re.compile(r"^([a-z]+)_?(\d{1,9})$")
_ANSWERS = frozenset(ANSWERS)
_MOSS_MARKS = re.compile(r"^\s*<\|[\w ]+\|>\s*:?\s*|\s*<eo[a-z]>\s*$")


@layout("infinity_instruct", ("conversations",), ("label", "langdetect", "reward"))
def infinity_instruct(record: dict) -> list[Draft] | None:
    """Read Infinity-Instruct as released: ShareGPT's `conversations`. Keep id, label, langdetect, source and reward."""
    turns = record_turns(record, "conversations")
    if turns is None:
        return None
    return [Draft(turns, {key: record[key] for key in RELEASED if record.get(key) is not None})]


@layout("openai", ("messages",))
def openai(record: dict) -> list[Draft | Rejected] | None:
    """Read OpenAI's `messages`: objects of role and content, where the content is a text or a list of typed parts.

    If the user speaks last, the answer may stand beside the list.
    """
    return _read_messages(record, "messages")


@layout("sharegpt", ("conversations", "conversation"))
def sharegpt(record: dict) -> list[Draft | Rejected] | None:
    """Read ShareGPT's `conversations`: objects with `from` and `value`, OpenAI's keys, or `human` and `assistant`.

    An `instruction` beside the list is put before the first request, unless a turn contains it.
    """
    return _read_messages(record, "conversations", "conversation")


def _read_messages(record: dict, *keys: str) -> list[Draft | Rejected] | None:
    turns = record_turns(record, *keys)
    if turns is None:
        return None
    turns = _add_instruction(record, _add_context(record, turns))
    if ROLES.get(str(turns[-1][0]).strip().lower()) != "user" or _ANSWERS.isdisjoint(record):
        return [Draft(turns)]
    answer, kept = extract_answer(record, ANSWERS)
    if isinstance(kept, Rejected):
        return [kept]
    return [Draft([*turns, ("assistant", answer)] if answer else turns, kept)]


@layout(
    "numbered_turns",
    asks=lambda keys: "chat" in keys or any(NUMBERED.match(key) or _NUMBERED_KEY.match(key) for key in keys),
)
def numbered_turns(record: dict) -> list[Draft] | None:
    """Read turns under numbered keys: MOSS's `turn_1`, ..., with or without `chat`, or `instruction_1`, `response_1`.

    MOSS's marks are stripped, commands and results become tool use, and inner thoughts are kept as `inner_thoughts`,
    one per turn.
    """
    chat = record.get("chat", record)
    if not isinstance(chat, dict):
        return None
    numbered = [turn for key, turn in chat.items() if NUMBERED.match(plain_key(key)) and isinstance(turn, dict)]
    numbered = numbered or _group_turns(chat)
    turns: list[Turn] = []
    thoughts: list[str | None] = []
    for turn in numbered:
        turn = {plain_key(key): _strip_marks(value) for key, value in turn.items()}
        pair = pair_of(turn)
        if not pair:
            return None
        command = turn.get("commands")
        result = turn.get("tool_responses")
        used = [tools.render_turn("tool_call", command, {}), tools.render_turn("tool", result, {})] if command else []
        turns += [pair[0], *used, pair[1]]
        thoughts.append(text_of(turn.get("inner_thoughts")) or None)
    kept = {"inner_thoughts": thoughts} if any(thoughts) else None
    return [Draft(add_system(record, turns), kept)] if turns else None


@layout("user_turns", ("turns", "prompt"), ("question_id", "prompt_id", "category", "reference"))
def user_turns(record: dict) -> list[Draft] | None:
    """Read MT-bench's `turns` or `prompt`, a list of user texts. Keep all but the first as `later_turns`."""
    texts = record.get("turns", record.get("prompt"))
    if list_of(texts, dict) and all(turn.keys() == {"content"} for turn in texts):  # Arena-Hard
        texts = [turn["content"] for turn in texts]
    if not list_of(texts, str) or not set(ANSWERS).isdisjoint(record):
        return None
    return [Draft(add_system(record, [("user", texts[0])]), {"later_turns": texts[1:]} if texts[1:] else None)]


@layout("dialogue", TURN_LISTS, bare=(list,))
def dialogue(record: list | dict) -> list[Draft] | None:
    """Read a list of turns, bare or under a known key: objects of speaker and utterance (SGD), or alternating texts."""
    if isinstance(record, list):
        turns = turns_of(record)
        return None if turns is None else [Draft(turns)]
    turns = record_turns(record, *TURN_LISTS)
    return None if turns is None else [Draft(turns)]


@layout("message_tree", ("prompt",))
def message_tree(record: dict) -> list[Draft] | None:
    """Read the best-ranked path of OpenAssistant's `prompt` with `replies`. Keep the number of `other_replies`."""
    message = record["prompt"]
    turns = []
    others = 0
    if not isinstance(message, dict) or "replies" not in message:
        return None
    while isinstance(message, dict):
        turns.append((message.get("role"), text_of(message.get("text"))))
        listed = message.get("replies")
        replies = listed if list_of(listed, dict) else []
        message = min(replies, key=rank_of, default=None)
        others += max(0, len(replies) - 1)
    return [Draft(turns, {"other_replies": others} if others else None)]


def rank_of(reply: dict) -> float:
    """Return the rank of a reply; zero is the best, and unranked replies come last."""
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")


def _add_context(record: dict, turns: list[Turn]) -> list[Turn]:
    """Put the context beside a conversation before it as a system prompt, unless there is one or a turn contains it."""
    context = first_of(record, CONTEXTS)
    is_told = ROLES.get(str(turns[0][0]).strip().lower()) == "system"
    if not isinstance(context, str) or is_told or any(context.strip() in text for _, text in turns if text):
        return turns
    return [("system", context), *turns]


def _add_instruction(record: dict, turns: list[Turn]) -> list[Turn]:
    instruction = record.get("instruction")
    if not isinstance(instruction, str) or any(instruction.strip() in text for _, text in turns if text):
        return turns
    roles = [ROLES.get(str(name).strip().lower()) for name, _ in turns]
    first = roles.index("user") if "user" in roles else None
    if first is None or turns[first][1] is None:
        return turns
    return [*turns[:first], (turns[first][0], join_texts(instruction, turns[first][1])), *turns[first + 1 :]]


def _group_turns(record: dict) -> list[dict]:
    """Group the values of numbered keys by number. Return [] unless each group has a user and an assistant."""
    groups: dict[int, dict] = {}
    for key, value in record.items():
        if match := _NUMBERED_KEY.match(plain_key(key)):
            groups.setdefault(int(match[2]), {})[match[1]] = value
    return [groups[number] for number in sorted(groups)] if all(map(pair_of, groups.values())) else []


def _strip_marks(value: object) -> object:
    """Return a text without MOSS's marks. The text `None` or `None.` becomes empty."""
    if not isinstance(value, str):
        return value
    text = _MOSS_MARKS.sub("", value)
    return "" if text.strip().rstrip(".") in ("None", "none") else text
