"""Layouts of one request and one answer, each under a key of its own."""

import re
from collections.abc import Collection, Iterable

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.answers import add_context, extract_answer, history_turns, prefer_keys, request_of
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.options import OPTIONS
from infinity_assets.reading.layouts.turns import add_system, make_exchange, turns_of
from infinity_assets.reading.layouts.values import (
    ANSWERS,
    CONTEXTS,
    REQUESTS,
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

_ANSWER_WORD = re.compile(r"answer|response|output|completion|solution|reply|target")
_INPUTS = frozenset(("input", "inputs"))
_OPTIONS = frozenset(OPTIONS)
_KNOWN = frozenset((*ANSWERS, "target_scores"))

PAIRS = (
    (("article", "document", "dialogue", "text", "passage"), ("highlights", "summary")),
    (("text",), ("code",)),
    (("message_1",), ("message_2",)),
    (("patient",), ("doctor",)),
    (("rewritten_intent", "intent"), ("snippet",)),
    (("original_text",), ("ans",)),
    (("source", "src"), ("target", "tgt")),
)
"""Keys of a text, paired with keys of the text made from it."""

LANGUAGES = frozenset(NAMES["languages"])
"""Names of columns that hold a text in a language."""

_NUMBERS = frozenset(("id", "idx", "index", "score"))

_LONE_LETTER = re.compile(r"\(?[A-H1-9]\)?\.?")
_SQL = re.compile(r"\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)

_TEXT_OBJECT = frozenset(("text", "tokens", "id", "type", "language"))
"""Keys of a text that is an object with its tokens."""

OUTPUTS = prefer_keys("output", "response")
ANSWERS_FIRST = prefer_keys("solution", "generated_solution", "answer", "answers")
SOLUTIONS = prefer_keys("solution", "generated_solution", "response", "answer")
COMPLETIONS = prefer_keys("completion", "response")


def read_exchange(record: dict, request: str | None, answers: Iterable[str]) -> list[Draft | Rejected] | None:
    """Return the draft of one exchange, or `None` if several unknown keys could hold the answer.

    A request that is a transcript and ends with the assistant's mark, as in BELLE, becomes several turns. The letter of
    an option is no answer if the options could not be read.
    """
    answer, kept = extract_answer(record, answers)
    if isinstance(kept, Rejected):
        return [kept]
    if not answer or (len(answer) < 5 and _LONE_LETTER.fullmatch(answer.strip())):
        for key in _OPTIONS & record.keys():
            if not is_missing(record[key]):
                return [Rejected("ambiguous_answer", f"`{key}` cannot be read")]
    if not answer and _KNOWN.isdisjoint(record) and sum(bool(_ANSWER_WORD.search(key)) for key in record) > 1:
        return None
    if request and answer and transcripts.is_template(request) and (turns := transcripts.turns_of(request + answer)):
        return [Draft(add_system(record, [*turns]), kept)]
    turns_before = transcripts.turns_before_answer(request) if request else None
    turns = [*history_turns(record), *(turns_before or [("user", request)]), ("assistant", answer)]
    return [Draft(add_system(record, turns), kept)]


@layout("self_instruct", ("instances",), ("instruction", "definition"))
def self_instruct(record: dict) -> list[Draft | Rejected] | None:
    """Read `instruction`, or Super-NaturalInstructions' `definition`, with one conversation per item of `instances`."""
    instances = record["instances"]
    if not list_of(instances, dict):
        return None
    texts = alternatives(first_of(record, ("instruction", "definition")))
    if texts is None:
        return [Draft([("user", None)])]
    drafts: list[Draft | Rejected] = []
    for instance in instances:
        answer, kept = extract_answer(instance, OUTPUTS)
        if isinstance(kept, Rejected):
            drafts.append(kept)
            continue
        drafts.append(Draft(make_exchange(join_texts(*texts[:1], instance.get("input")), answer), kept))
    return drafts


@layout("alpaca", ("instruction", "definition"))
def alpaca(record: dict) -> list[Draft | Rejected] | None:
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
def question_answer(record: dict) -> list[Draft | Rejected] | None:
    """Read `question`, optional `context`, and `answer` or SQuAD's `answers`. The answer may be missing.

    Spider's answer, a `query` in SQL, counts as such.
    """
    impossible = record.get("is_impossible") is True
    query = record.get("query")
    if isinstance(query, str) and _SQL.match(query) and not isinstance(first_of(record, ANSWERS), str):
        return _read_plain(record, "question", ("query",))
    return _read_plain(record, "question", () if impossible else ANSWERS_FIRST)


def _read_plain(record: dict, key: str, answers: Iterable[str]) -> list[Draft | Rejected] | None:
    request = load_json(record[key], "[")
    if isinstance(request, list):
        return _read_after_turns(record, request, answers)
    if isinstance(request, dict) and set(request) <= _TEXT_OBJECT:  # Natural Questions, NarrativeQA
        request = request.get("text")
    return read_exchange(record, add_context(record, request), answers) if is_plain(request) else None


@layout("query_response", ("query",))
def query_response(record: dict) -> list[Draft | Rejected] | None:
    """Read `query`, `response` and optional `history`."""
    return _read_plain(record, "query", COMPLETIONS)


@layout("problem_solution", ("problem",))
def problem_solution(record: dict) -> list[Draft | Rejected] | None:
    """Read `problem` and `solution`. The solution may be missing."""
    return _read_plain(record, "problem", SOLUTIONS)


@layout("prompt_completion", ("prompt", "user_prompt"))
def prompt_completion(record: dict) -> list[Draft | Rejected] | None:
    """Read `prompt` and `completion` or a synonym, or Cosmopedia's `text`. The completion may be missing."""
    prompt = first_of(record, ("prompt", "user_prompt"))
    if isinstance(prompt, list | dict):
        return _read_after_turns(record, prompt, COMPLETIONS)
    answers = ("text",) if record.keys() >= {"text", "seed_data"} and _KNOWN.isdisjoint(record) else COMPLETIONS
    return read_exchange(record, add_context(record, prompt), answers) if is_plain(prompt) else None


@layout(
    "input_target",
    ("inputs_pretokenized", "inputs", "input", "input_text", "user", "human", *REQUESTS[-5:]),
    (*ANSWERS, "target_scores"),
)
def input_target(record: dict) -> list[Draft | Rejected] | None:
    """Read `input` and `output`, FLAN's `inputs` and `targets`, or one text each of `user` and `assistant`."""
    request = first_of(record, REQUESTS)
    if isinstance(request, list | dict):
        return _read_after_turns(record, request, ANSWERS)
    return read_exchange(record, add_context(record, request), ANSWERS) if is_plain(request) else None


def _read_after_turns(record: dict, request: object, answers: Iterable[str]) -> list[Draft | Rejected] | None:
    """Return the draft of turns and the answer beside them, or `None` if the request holds no turns."""
    turns = turns_of(request)
    answer, kept = extract_answer(record, answers) if turns else (None, None)
    if isinstance(kept, Rejected):
        return [kept]
    if list_of(request, str) and kept and "other_answers" in kept:  # several requests, each with its answer
        return [Rejected("ambiguous_answer", "there are several requests and several answers")]
    return [Draft(add_system(record, [*turns, ("assistant", answer)]), kept)] if turns else None


@layout("context_answer", CONTEXTS, ANSWERS)
def context_answer(record: dict) -> list[Draft | Rejected] | None:
    """Read a `context` that includes the question, and `answer`. A question of its own that is no text is not read."""
    context = add_context(record) if first_of(record, REQUESTS) is None else None
    return read_exchange(record, context, ANSWERS) if context else None


@layout("translation", asks=lambda keys: "translation" in keys or _are_languages(keys))
def translation(record: dict) -> list[Draft | Rejected] | None:
    """Read two texts by language, the source first, under WMT's `translation` or in columns."""
    if _are_languages(record.keys()):
        texts: object = {key: text for key, text in record.items() if key not in _NUMBERS}
    else:
        texts = load_json(record.get("translation"))
    if not isinstance(texts, dict) or len(texts) != 2 or not all(isinstance(text, str) for text in texts.values()):
        return None
    (source, text), (target, answer) = texts.items()
    return [Draft([("user", _request_translation(source, target, text)), ("assistant", answer)])]


def _are_languages(keys: Collection[str]) -> bool:
    """Return whether records with these keys hold the same text in two languages, and beside it numbers at most."""
    texts = [key for key in keys if key not in _NUMBERS]
    return len(texts) == 2 and LANGUAGES.issuperset(texts)


@layout("text_pair", *([key for pair in PAIRS for key in pair[side]] for side in (0, 1)))
def text_pair(record: dict) -> list[Draft | Rejected] | None:
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
