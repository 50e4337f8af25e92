"""The request and the answer of a record, under whatever keys they stand."""

from collections.abc import Iterable

from infinity_assets.rows.readers.layouts.turns import turns_of
from infinity_assets.rows.readers.layouts.values import (
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
    text_of,
)


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
    if is_plain(record.get("instruction")):
        parts = [record.get(key) for key in (*CONTEXTS, "input", "inputs", "question", "query")]
        return joined(record["instruction"], *filter(None, parts))
    name = next((key for key in REQUESTS if record.get(key) is not None), None)
    return joined(about(record), record[name]) if name else ""


def about(record: dict) -> str | None:
    """The context of a question: a text, or several; empty if there is none."""
    value = first_of(record, CONTEXTS)
    return joined(*value) if list_of(value, str) and isinstance(value, list) else text_of(value)


def answered(record: dict, keys: Iterable[str]) -> tuple[str | None, dict | None]:
    """The answer under the first of these keys that holds one, and what is kept: `other_answers`, and BIG-bench's `target_scores`.

    Steps under a key of their own (a rationale, a chain of thought) stand before it.
    """
    scores = record.get("target_scores")
    if isinstance(scores, dict) and scores and all(isinstance(score, int | float) for score in scores.values()):
        return max(scores, key=lambda text: scores[text]), {"target_scores": scores}
    value = first_of(record, keys)
    texts = alternatives(value)
    if texts is None:
        return None, None
    steps = text_of(first_of(record, RATIONALES)) if texts else ""
    answer = joined(steps, texts[0] if texts else "")
    return answer, {"other_answers": texts[1:]} if texts[1:] else None


def preferring(*keys: str) -> tuple[str, ...]:
    """The keys of an answer, these first."""
    return tuple(dict.fromkeys((*keys, *ANSWERS)))
