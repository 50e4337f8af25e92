"""The request and the answer of a record, under whatever keys they stand."""

from collections.abc import Iterable

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.turns import turns_of
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    CONTEXTS,
    RATIONALES,
    REQUESTS,
    Turn,
    alternatives,
    first_of,
    is_plain,
    joined,
    list_of,
    loaded,
    text_of,
)

_INPUTS = frozenset((*CONTEXTS, "input", "inputs", "question", "query"))
_CONTEXTS = frozenset(CONTEXTS)
_TOOLS = frozenset(tools.DEFINITIONS)
_RATIONALES = frozenset(RATIONALES)


def earlier(record: dict) -> list[Turn]:
    """The turns of `history`: pairs, or a list of turns. One turn without text where it cannot be read: a conversation without its
    beginning would be another conversation.
    """
    history = record.get("history")
    if not history or (isinstance(history, str) and not history.strip("[] ")):
        return []
    return turns_of(history) or [("user", None)]


def request_of(record: dict) -> str | None:
    """The request of a record as one text: instruction and input, or the question after what it is about; empty if there is none."""
    if "instruction" in record and is_plain(record["instruction"]):
        more = [value for key, value in record.items() if key in _INPUTS and value]
        return joined(record["instruction"], *more) if more else text_of(record["instruction"])
    name = next((key for key in REQUESTS if record.get(key) is not None), None)
    return about(record, record[name]) if name else ""


def about(record: dict, *asked: object) -> str | None:
    """What a question is about, a text or several, and after it what is asked; empty if there is neither."""
    if _CONTEXTS.isdisjoint(record):
        return text_of(asked[0]) if len(asked) == 1 else joined(*asked)
    value = first_of(record, CONTEXTS)
    return joined(*value, *asked) if list_of(value, str) else joined(value, *asked)


def answered(record: dict, keys: Iterable[str]) -> tuple[str | None, dict | None]:
    """The answer under the first of these keys that holds one, and what is kept: `other_answers`, and BIG-bench's `target_scores`.

    Calls beside the definitions of their tools, as xLAM's, are tool use.
    Steps under a key of their own (a rationale, a chain of thought) stand before it.
    """
    if "target_scores" in record:
        scores = record["target_scores"]
        if isinstance(scores, dict) and scores and all(isinstance(score, int | float) for score in scores.values()):
            return max(scores, key=lambda text: scores[text]), {"target_scores": scores}
    value = first_of(record, keys)
    if (
        not _TOOLS.isdisjoint(record)
        and list_of(calls := loaded(value), dict)
        and all("name" in call for call in calls)
    ):
        return tools.spoken("tool_call", calls, {})[1], None
    texts = [value] if isinstance(value, str) else alternatives(value)
    if not texts:
        return (None, None) if texts is None else ("", None)
    answer = texts[0] if _RATIONALES.isdisjoint(record) else joined(first_of(record, RATIONALES), texts[0])
    return answer, {"other_answers": texts[1:]} if len(texts) > 1 else None


def preferring(*keys: str) -> tuple[str, ...]:
    """The keys of an answer, these first."""
    return tuple(dict.fromkeys((*keys, *ANSWERS)))
