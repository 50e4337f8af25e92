"""Layouts of one request and one answer, each under a key of its own."""

import re
from collections.abc import Iterable

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.answers import add_context, extract_answer, history_turns, prefer_keys, request_of
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import add_system, make_exchange, turns_of
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    CONTEXTS,
    REQUESTS,
    alternatives,
    first_of,
    is_plain,
    join_texts,
    list_of,
    load_json,
    text_of,
)

_ANSWER_WORD = re.compile(r"answer|response|output|completion|solution|reply|target")
_INPUTS = frozenset(("input", "inputs"))
_KNOWN = frozenset((*ANSWERS, "target_scores"))

PAIRS = (
    (("article", "document", "dialogue", "text", "passage"), ("highlights", "summary")),
    (("text",), ("code",)),
    (("message_1",), ("message_2",)),
    (("source", "src"), ("target", "tgt")),
)
"""Keys of a text, paired with keys of the text made from it."""

OUTPUTS = prefer_keys("output", "response")
ANSWERS_FIRST = prefer_keys("solution", "generated_solution", "answer", "answers")
SOLUTIONS = prefer_keys("solution", "generated_solution", "response", "answer")
COMPLETIONS = prefer_keys("completion", "response")


def read_exchange(record: dict, request: str | None, answers: Iterable[str]) -> list[Draft] | None:
    """Return the draft of one exchange, or `None` if several unknown keys could hold the answer.

    A request that is a transcript and ends with the assistant's mark, as in BELLE, becomes several turns.
    """
    answer, kept = extract_answer(record, answers)
    if not answer and _KNOWN.isdisjoint(record) and sum(bool(_ANSWER_WORD.search(key)) for key in record) > 1:
        return None
    turns_before = transcripts.turns_before_answer(request) if request else None
    turns = [*history_turns(record), *(turns_before or [("user", request)]), ("assistant", answer)]
    return [Draft(add_system(record, turns), kept)]


@layout("self_instruct", ("instances",), ("instruction", "definition"))
def self_instruct(record: dict) -> list[Draft] | None:
    """Read `instruction`, or Super-NaturalInstructions' `definition`, with one conversation per item of `instances`."""
    instances = record["instances"]
    if not list_of(instances, dict):
        return None
    texts = alternatives(first_of(record, ("instruction", "definition")))
    if texts is None:
        return [Draft([("user", None)])]
    drafts = []
    for instance in instances:
        answer, kept = extract_answer(instance, OUTPUTS)
        drafts.append(Draft(make_exchange(join_texts(*texts[:1], instance.get("input")), answer), kept))
    return drafts


@layout("alpaca", ("instruction", "definition"))
def alpaca(record: dict) -> list[Draft] | None:
    """Read `instruction`, optional `input` or `context`, `system` and `history`, and `output` or a synonym.

    If the record also has an input and an answer, `definition` serves as the instruction (Super-NaturalInstructions,
    one instance per record).
    """
    if "instruction" not in record:
        definition = text_of(record["definition"])
        if not definition or _INPUTS.isdisjoint(record) or _KNOWN.isdisjoint(record):
            return None
        record = {**record, "instruction": definition}
    return read_exchange(record, request_of(record), OUTPUTS) if is_plain(record["instruction"]) else None


@layout("question_answer", ("question",))
def question_answer(record: dict) -> list[Draft] | None:
    """Read `question`, optional `context`, and `answer` or SQuAD's `answers`. The answer may be missing."""
    impossible = record.get("is_impossible") is True
    return _read_plain(record, "question", () if impossible else ANSWERS_FIRST)


def _read_plain(record: dict, key: str, answers: Iterable[str]) -> list[Draft] | None:
    request = record[key]
    return read_exchange(record, add_context(record, request), answers) if is_plain(request) else None


@layout("query_response", ("query",))
def query_response(record: dict) -> list[Draft] | None:
    """Read `query`, `response` and optional `history`."""
    return _read_plain(record, "query", COMPLETIONS)


@layout("problem_solution", ("problem",))
def problem_solution(record: dict) -> list[Draft] | None:
    """Read `problem` and `solution`. The solution may be missing."""
    return _read_plain(record, "problem", SOLUTIONS)


@layout("prompt_completion", ("prompt", "user_prompt"))
def prompt_completion(record: dict) -> list[Draft] | None:
    """Read `prompt` and `completion` or a synonym. The completion may be missing."""
    prompt = first_of(record, ("prompt", "user_prompt"))
    turns = turns_of(prompt) if not is_plain(prompt) else None
    if turns:
        answer, kept = extract_answer(record, COMPLETIONS)
        return [Draft(add_system(record, [*turns, ("assistant", answer)]), kept)]
    return read_exchange(record, add_context(record, prompt), COMPLETIONS) if is_plain(prompt) else None


@layout(
    "input_target",
    ("inputs_pretokenized", "inputs", "input", "user", "human", *REQUESTS[-5:]),
    (*ANSWERS, "target_scores"),
)
def input_target(record: dict) -> list[Draft] | None:
    """Read `input` and `output`, FLAN's `inputs` and `targets`, or one text each of `user` and `assistant`."""
    request = first_of(record, REQUESTS)
    return read_exchange(record, add_context(record, request), ANSWERS) if is_plain(request) else None


@layout("context_answer", CONTEXTS, ANSWERS)
def context_answer(record: dict) -> list[Draft] | None:
    """Read a `context` that includes the question, and `answer`."""
    context = add_context(record)
    return read_exchange(record, context, ANSWERS) if context else None


@layout("translation", ("translation",))
def translation(record: dict) -> list[Draft] | None:
    """Read WMT's `translation`: two texts by language, the source first."""
    texts = load_json(record["translation"])
    if not isinstance(texts, dict) or len(texts) != 2 or not all(isinstance(text, str) for text in texts.values()):
        return None
    (source, text), (target, answer) = texts.items()
    return [Draft([("user", _request_translation(source, target, text)), ("assistant", answer)])]


@layout("text_pair", *([key for pair in PAIRS for key in pair[side]] for side in (0, 1)))
def text_pair(record: dict) -> list[Draft] | None:
    """Read a text and the text made from it.

    These are `article` and `highlights`, `dialogue` and `summary`, MBPP's `text` and `code`, CAMEL's two messages, and
    `source` and `target`, with a request to translate if both languages are named.
    """
    for requests, answers in PAIRS if "text" not in record else PAIRS[:-1]:  # beside `text`, `source` is its origin
        request = first_of(record, requests)
        answer = first_of(record, answers)
        if isinstance(request, str) and isinstance(answer, str):
            source = first_of(record, ("source_lang", "src_lang"))
            target = first_of(record, ("target_lang", "tgt_lang"))
            if source and target:
                request = _request_translation(source, target, request)
            return [Draft(add_system(record, make_exchange(request, answer)))]
    return None


def _request_translation(source: object, target: object, text: str) -> str:
    return f"Translate from {source} to {target}:\n\n{text}"
