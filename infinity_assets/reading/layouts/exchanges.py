"""Layouts of one request and one answer, each under a key of its own."""

import re
from collections.abc import Iterable

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.answers import about, answered, earlier, preferring, request_of
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import exchange, turns_of, with_system
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    CONTEXTS,
    REQUESTS,
    alternatives,
    first_of,
    is_plain,
    joined,
    list_of,
    loaded,
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
"""Keys of a text and of what is made of it."""

OUTPUTS = preferring("output", "response")
ANSWERS_FIRST = preferring("solution", "generated_solution", "answer", "answers")
SOLUTIONS = preferring("solution", "generated_solution", "response", "answer")
COMPLETIONS = preferring("completion", "response")


def read(record: dict, request: str | None, answers: Iterable[str]) -> list[Draft] | None:
    """The draft of one exchange; null if its answer could be under any of several keys that no layout knows.

    A request that is a transcript up to the assistant's mark, as BELLE's, is the turns before the answer.
    """
    answer, kept = answered(record, answers)
    if not answer and _KNOWN.isdisjoint(record) and sum(bool(_ANSWER_WORD.search(key)) for key in record) > 1:
        return None
    asked = transcripts.unanswered(request) if request else None
    return [
        Draft(with_system(record, [*earlier(record), *(asked or [("user", request)]), ("assistant", answer)]), kept)
    ]


@layout("self_instruct", ("instances",), ("instruction", "definition"))
def self_instruct(record: dict) -> list[Draft] | None:
    """`instruction`, or Super-NaturalInstructions' `definition`, with `instances` of input and output: one conversation each."""
    instances = record["instances"]
    if not list_of(instances, dict):
        return None
    texts = alternatives(first_of(record, ("instruction", "definition")))
    if texts is None:
        return [Draft([("user", None)])]
    drafts = []
    for instance in instances:
        answer, kept = answered(instance, OUTPUTS)
        drafts.append(Draft(exchange(joined(*texts[:1], instance.get("input")), answer), kept))
    return drafts


@layout("alpaca", ("instruction", "definition"))
def alpaca(record: dict) -> list[Draft] | None:
    """`instruction`, optionally `input` or `context`, `system` and `history` (earlier turns), and `output` or a synonym.

    Beside an input and an answer, `definition` is the instruction (Super-NaturalInstructions, one instance a record).
    """
    if "instruction" not in record:
        definition = text_of(record["definition"])
        if not definition or _INPUTS.isdisjoint(record) or _KNOWN.isdisjoint(record):
            return None
        record = {**record, "instruction": definition}
    return read(record, request_of(record), OUTPUTS) if is_plain(record["instruction"]) else None


@layout("question_answer", ("question",))
def question_answer(record: dict) -> list[Draft] | None:
    """`question`, optionally after a `context`, and `answer` or `answers`, as SQuAD's; alone it is an instruction."""
    question = record["question"]
    if not is_plain(question):
        return None
    impossible = record.get("is_impossible") is True
    return read(record, about(record, question), () if impossible else ANSWERS_FIRST)


@layout("query_response", ("query",))
def query_response(record: dict) -> list[Draft] | None:
    """`query` and `response`, with `history`."""
    return read(record, about(record, record["query"]), COMPLETIONS) if is_plain(record["query"]) else None


@layout("problem_solution", ("problem",))
def problem_solution(record: dict) -> list[Draft] | None:
    """`problem` and `solution`; alone it is an instruction."""
    return read(record, about(record, record["problem"]), SOLUTIONS) if is_plain(record["problem"]) else None


@layout("prompt_completion", ("prompt", "user_prompt"))
def prompt_completion(record: dict) -> list[Draft] | None:
    """`prompt` and `completion` or a synonym; alone it is an instruction."""
    prompt = first_of(record, ("prompt", "user_prompt"))
    turns = turns_of(prompt) if not is_plain(prompt) else None
    if turns:
        answer, kept = answered(record, COMPLETIONS)
        return [Draft(with_system(record, [*turns, ("assistant", answer)]), kept)]
    return read(record, about(record, prompt), COMPLETIONS) if is_plain(prompt) else None


@layout(
    "input_target",
    ("inputs_pretokenized", "inputs", "input", "user", "human", *list(REQUESTS)[-5:]),
    (*ANSWERS, "target_scores"),
)
def input_target(record: dict) -> list[Draft] | None:
    """`input` and `output`, FLAN's `inputs` and `targets`, a user's text and an assistant's."""
    request = first_of(record, REQUESTS)
    return read(record, about(record, request), ANSWERS) if is_plain(request) else None


@layout("context_answer", CONTEXTS, ANSWERS)
def context_answer(record: dict) -> list[Draft] | None:
    """A `context` that ends in its question, and `answer`."""
    context = about(record)
    return read(record, context, ANSWERS) if context else None


@layout("translation", ("translation",))
def translation(record: dict) -> list[Draft] | None:
    """WMT's `translation`: an object of two texts by their languages, the first the source."""
    texts = loaded(record["translation"])
    if not isinstance(texts, dict) or len(texts) != 2 or not all(isinstance(text, str) for text in texts.values()):
        return None
    (source, text), (target, answer) = texts.items()
    return [Draft([("user", _to_translate(source, target, text)), ("assistant", answer)])]


@layout("text_pair", *([key for pair in PAIRS for key in pair[side]] for side in (0, 1)))
def text_pair(record: dict) -> list[Draft] | None:
    """A text and what is made of it: `article` and `highlights`, `dialogue` and `summary`, MBPP's `text` and `code`, CAMEL's two messages,
    `source` and `target`, the latter with a request to translate where both languages are named.
    """
    for requests, answers in (
        PAIRS if "text" not in record else PAIRS[:-1]
    ):  # beside a text, `source` says where it is from
        request, answer = first_of(record, requests), first_of(record, answers)
        if isinstance(request, str) and isinstance(answer, str):
            source, target = (
                first_of(record, ("source_lang", "src_lang")),
                first_of(record, ("target_lang", "tgt_lang")),
            )
            if source and target:
                request = _to_translate(source, target, request)
            return [Draft(with_system(record, exchange(request, answer)))]
    return None


def _to_translate(source: object, target: object, text: str) -> str:
    return f"Translate from {source} to {target}:\n\n{text}"
