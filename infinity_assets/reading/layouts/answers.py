"""Extraction of the request and the answer from a record by their known keys."""

import re
from collections.abc import Iterable
from functools import cache

from infinity_assets.reading.layouts import tools
from infinity_assets.reading.layouts.choice import choose_answer
from infinity_assets.reading.layouts.turns import turns_of
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    ASKED,
    CONTEXT_LISTS,
    CONTEXT_PARTS,
    CONTEXTS,
    PASSAGES,
    RATIONALES,
    REQUESTS,
    Turn,
    alternatives,
    first_of,
    is_missing,
    is_plain,
    join_texts,
    list_of,
    load_json,
    text_of,
)
from infinity_assets.reading.names import NAMES
from infinity_assets.rows.grammar import Rejected

_INPUTS = frozenset((*CONTEXTS, "input", "inputs", "question", "query"))
_CONTEXTS = frozenset(CONTEXTS)
_CONTEXT_LISTS = frozenset(CONTEXT_LISTS)
_PASSAGES = frozenset(PASSAGES)
_QUESTIONS = frozenset(ASKED)
_ANSWERED = frozenset((*ANSWERS, *NAMES["right_option"]))
_TOOLS = frozenset(tools.DEFINITIONS)
_RATIONALES = frozenset(RATIONALES)

_REPLACING = ("expected", "revised", "corrected", "improved", "edited", "reference", "gold", "new", "fixed")
"""Beginnings of the name of an answer that replaces the one under the rest of the name."""

_NAMES_ONLY = re.compile(r"(?:\S*[./_\d]\S*\s*)*")
"""Matches names and numbers of documents, which are no context."""

_PASSAGE_CHARS = 40
"""Minimum length of the text that a question is asked about. A shorter one is a remark."""


def history_turns(record: dict) -> list[Turn]:
    """Return the turns of `history`, which is a list of pairs or turns.

    An unreadable history becomes a turn without text, so that the record is dropped, not read without its beginning.
    """
    history = record.get("history")
    if is_missing(history) or not history or (isinstance(history, str) and not history.strip("[] ")):
        return []
    return turns_of(history) or [("user", None)]


def request_of(record: dict) -> str | None:
    """Return the request as one text: instruction and input, or context and question; empty if there is no request."""
    if "instruction" in record and is_plain(record["instruction"]):
        more = [value for key, value in record.items() if key in _INPUTS and not is_missing(value)]
        return join_texts(record["instruction"], *more) if more else text_of(record["instruction"])
    name = next((key for key in REQUESTS if not is_missing(record.get(key))), None)
    return add_context(record, record[name]) if name else ""


def add_context(record: dict, *asked: object) -> str | None:
    """Return the context of a record (one text or several), followed by `asked`; empty if there is neither."""
    value = None if _CONTEXTS.isdisjoint(record) else first_of(record, CONTEXTS)
    is_number = isinstance(value, int | float) or (isinstance(value, str) and len(value) < _PASSAGE_CHARS)
    if is_number and _NAMES_ONLY.fullmatch(str(value)):
        value = None
    if value is None and not _CONTEXT_LISTS.isdisjoint(record):
        listed = load_json(first_of(record, CONTEXT_LISTS))
        value = listed if isinstance(listed, list | dict) and _join_passages(listed) else None
    if isinstance(value, list | dict):
        whole = _join_passages(value)
        if whole is None:
            return None
        value = None if _NAMES_ONLY.fullmatch(whole) else whole
    elif value is None and not _PASSAGES.isdisjoint(record) and not _QUESTIONS.isdisjoint(record):
        value = _find_passage(record, asked[0])
    if value is None:
        return text_of(asked[0]) if len(asked) == 1 else join_texts(*asked)
    more = [record[name] for name in CONTEXT_PARTS[1:] if name in record]
    return join_texts(value, *more, *asked)


def _join_passages(value: object) -> str | None:
    """Return several passages as one text, each after its title, or `None` if one cannot be read.

    Passages are texts, objects with a title and a text (MuSiQue, DPR), pairs of a title and sentences (HotpotQA's
    files), or columns of titles and of sentences or texts (HotpotQA, PubMedQA).
    """
    if isinstance(value, dict):
        titles = first_of(value, ("title", "titles"))
        bodies = first_of(value, ("sentences", "contexts", "text", "passage_text", "content"))
        is_titled = isinstance(titles, list) and isinstance(bodies, list) and len(titles) == len(bodies)
        value = [*zip(titles, bodies, strict=True)] if is_titled else bodies
    passages = [_passage_in(item) for item in value] if isinstance(value, list) else []
    return "\n\n".join(filter(None, passages)) or None if None not in passages else None


def _passage_in(item: object) -> str | None:
    title, body = None, item
    if isinstance(item, dict):
        title = first_of(item, ("title", "wikipedia_title"))
        body = first_of(item, ("text", "paragraph_text", "passage_text", "content", "contents", "body"))
    elif isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], list):
        title, body = item
    if list_of(body, str):
        body = " ".join(sentence.strip() for sentence in body)
    return "\n".join(filter(None, (title, body))) if isinstance(body, str) and isinstance(title, str | None) else None


def _find_passage(record: dict, question: object) -> str | None:
    """Return the text that a question is asked about, or `None` if the only text repeats the question or is short.

    Without an answer under another key, the text may be the answer.
    """
    if _ANSWERED.isdisjoint(record):
        return None
    text = first_of(record, PASSAGES)
    is_about = isinstance(text, str) and len(text) >= _PASSAGE_CHARS and str(question).strip() not in text
    return text if is_about else None


def extract_answer(record: dict, keys: Iterable[str]) -> tuple[str | None, dict | Rejected | None]:
    """Return the answer under the first key that holds one, and annotations to keep.

    Of several answers the right one is taken, if the record tells; `Rejected` stands in the place of the annotations if
    it tells in a way that is not understood. Annotations are `other_answers`, `verdict` and BIG-bench's
    `target_scores`. An answer of tool calls, in a record that defines
    the tools (xLAM), becomes tool use. Steps under their own key (a rationale) are put before the answer.
    """
    if "target_scores" in record:
        scores = record["target_scores"]
        if isinstance(scores, dict) and scores and all(isinstance(score, int | float) for score in scores.values()):
            return max(scores, key=lambda text: scores[text]), {"target_scores": scores}
    value = None
    for key in keys:
        value = record.get(key)
        if value is not None and not is_missing(value):
            value = _find_better(record, key) if isinstance(value, str) else value
            break
    calls = None if _TOOLS.isdisjoint(record) else load_json(value)
    if list_of(calls, dict) and all("name" in call for call in calls):
        return tools.render_turn("tool_call", calls, {})[1], None
    kept: dict[str, object] = {}
    if isinstance(value, str):
        texts = [value]
    elif not isinstance(value, list | dict) or (len(value) == 1 and isinstance(value, list) and is_plain(value[0])):
        texts = alternatives(value)
    else:
        chosen = choose_answer(record, value)
        if isinstance(chosen, Rejected):
            return None, chosen
        texts = alternatives(chosen.answers)
        if chosen.verdict:
            kept["verdict"] = chosen.verdict
    if not texts:
        return (None, None) if texts is None else ("", None)
    if len(texts) > 1:
        kept["other_answers"] = texts[1:]
    answer = texts[0] if _RATIONALES.isdisjoint(record) else join_texts(first_of(record, RATIONALES), texts[0])
    return answer, kept or None


def _find_better(record: dict, key: str) -> str:
    """Return the answer under a key, or the text that replaces it, such as `expected_output` beside `output`."""
    value = record[key]
    names = _better_names(key)
    if names.isdisjoint(record):
        return value
    for name in sorted(names & record.keys()):
        better = record[name]
        if isinstance(better, str) and not is_missing(better) and better.strip() not in value:
            return better
    return value


@cache
def _better_names(key: str) -> frozenset[str]:
    return frozenset(f"{prefix}_{key}" for prefix in _REPLACING)


def prefer_keys(*keys: str) -> tuple[str, ...]:
    """Return all keys of an answer, the given ones first."""
    return tuple(dict.fromkeys((*keys, *ANSWERS)))
