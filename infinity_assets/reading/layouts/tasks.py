"""Layouts of exam data: multiple choice, questions about a paragraph, inference, programs with tests."""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase

from infinity_assets.reading.layouts.answers import add_context, extract_answer, prefer_keys, request_of
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.options import GOLD, OPTIONS, find_options, find_right, has_options
from infinity_assets.reading.layouts.turns import add_system, make_exchange, pair_of
from infinity_assets.reading.layouts.values import (
    CONTEXTS,
    PASSAGES,
    RATIONALES,
    Turn,
    alternatives,
    first_of,
    is_plain,
    join_texts,
    list_of,
    load_json,
    text_of,
)
from infinity_assets.reading.names import NAMES
from infinity_assets.rows.grammar import Rejected

QUESTIONS = (
    "question", "query", "problem", "stem", "question_stem", "goal", "sentence", "ctx", "startphrase", "prompt", "input",
    "instruction", "题目", "问题",
)  # fmt: skip
"""Keys of a question with options, best first."""

HINTS = ("support", "hint", "premise")
"""Keys of the context of a question with options, beside those of any question."""

FREE_CHARS = 40
"""Minimum length of an answer in words of its own. A shorter one should name an option."""

MMLU = ("column_0", "column_1", "column_2", "column_3", "column_4", "column_5")
"""Columns of MMLU's tables, which have no header: the question, four options, the letter of the right one."""

LISTED = ("qa_list", "qa_pairs", "qas", "questions")
"""Keys of several questions about one context."""

_ASKED = ("q", "query", "query_text", "question_text")
"""Keys of a question in such a list."""

SINGLE = frozenset(("answers", "is_impossible", "id", "query_id", *OPTIONS))
"""Keys of a question that does not depend on the one before it."""

INFERENCE = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("text_a", "text_b"))
"""Keys of a statement and of another one that may follow from it."""

RELATIONS = ("entailment", "neutral", "contradiction")
"""Names of the relations between two statements."""

TRUTH = NAMES["option_is_right"]
TESTS = NAMES["tests"]
TESTED = ("canonical_solution", "reference_solution", "reference_code", "ground_truth_solution", *NAMES["tested_code"])
"""Keys of a program that solves a task with tests."""


@layout("multiple_choice", asks=lambda keys: _has_choice_keys(keys), answers=GOLD)
def multiple_choice(record: dict) -> list[Draft | Rejected] | None:
    """Read a question with options (a list, columns, one text, ARC's objects, right and wrong answers) and the right.

    The user's turn lists the options by letter; the answer is letter and text, after the rationale if there is one.
    """
    if "column_5" in record:
        if str(record["column_5"]).strip() not in ("A", "B", "C", "D"):
            return None
        record = {
            "question": record["column_0"],
            "options": [record[name] for name in MMLU[1:5]],
            "answer": record["column_5"],
        }
    key = next((name for name in QUESTIONS if is_plain(record.get(name)) and record[name] != ""), None)
    options = find_options(record) if key else None
    if key is None or options is None:
        return None
    letters = ascii_uppercase[: len(options.texts)]
    listed = [f"{letter}. {text}" for letter, text in zip(letters, options.texts, strict=True)]
    right = find_right(record, options)
    if right is not None:
        answer = "\n".join(listed[index] for index in right)
        answer = join_texts(first_of(record, RATIONALES), answer) if answer else ""
    else:  # the answer may be a sentence
        answer = first_of(record, ("output", "response", "answer", "solution"))
        if not isinstance(answer, str) or len(answer) < FREE_CHARS:
            return [Rejected("ambiguous_answer", str({name: record[name] for name in GOLD if name in record})[:200])]
    before = [record[name] for name in HINTS if is_plain(record.get(name))]
    if key != "instruction":
        before.insert(0, record.get("instruction"))
    request = join_texts(*before, add_context(record, record[key], "\n".join(listed)))
    return [Draft(add_system(record, make_exchange(request, answer)))]


@layout("question_object", ("question",), answers=GOLD)
def question_object(record: dict) -> Sequence[Draft | Rejected] | None:
    """Read a question that contains its options, as in ARC's files; the right one may be inside or beside it."""
    inner = load_json(record["question"])
    if not isinstance(inner, dict):
        return None
    stem = first_of(inner, ("stem", "question", "text", "content", "prompt"))
    parts = {key: inner[key] for key in (*OPTIONS, *GOLD, *CONTEXTS) if key in inner}
    return multiple_choice({**record, **parts, "question": stem})


def _has_choice_keys(keys: frozenset[str]) -> bool:
    if keys.isdisjoint(QUESTIONS):
        return keys.issuperset(MMLU) and "column_6" not in keys
    return has_options(keys)


@layout("context_pairs", LISTED)
def context_pairs(record: dict) -> list[Draft | Rejected] | None:
    """Read a context with a list of questions and their answers.

    Question-answer pairs (ft-instruction-synthesizer-collection's `QA_list` of Q and A) and the questions and answers
    of a dialogue (CoQA, QuAC) are one conversation, in which the context precedes the first question. Questions with
    options (RACE), and questions that have ids or lists of answers (SQuAD's `qas`, DROP), are conversations of their
    own.
    """
    listed = load_json(first_of(record, LISTED))
    answers = load_json(record.get("answers"))
    if answers and isinstance(listed, list):
        pairs = _zip_answers(listed, answers, load_json(first_of(record, OPTIONS)))
    else:
        pairs = listed if list_of(listed, dict) else None
    if not pairs:
        return None
    pairs = [
        pair if "question" in pair or not (asked := first_of(pair, _ASKED)) else {**pair, "question": asked}
        for pair in pairs
    ]
    context = add_context(record) or text_of(first_of(record, PASSAGES))
    if any(not SINGLE.isdisjoint(pair) for pair in pairs) and all(is_plain(pair.get("question")) for pair in pairs):
        return [draft for pair in pairs for draft in _read_question(context, pair)]
    turns: list[Turn] = []
    for pair in pairs:
        exchange = pair_of(pair)
        if exchange is None or not exchange[0][1]:
            return None
        turns += exchange
    if not context:
        return [Draft(turns[index : index + 2]) for index in range(0, len(turns), 2)]
    return [Draft([("user", join_texts(context, turns[0][1])), *turns[1:]])]


def _zip_answers(questions: list, answers: object, options: object) -> list[dict] | None:
    """Return questions with their answers and options, which are lists in the same order."""
    if isinstance(answers, dict):
        answers = first_of(answers, ("texts", "input_text", "text"))
    if not isinstance(answers, list) or len(answers) != len(questions):
        return None
    texts = [
        first_of(question, ("input_text", "question", "text"))
        if isinstance(question, dict)
        else question[0]
        if list_of(question, str)  # other wordings follow
        else question
        for question in questions
    ]
    chosen = [
        first_of(answer, ("input_text", "text", "answer")) if isinstance(answer, dict) else answer for answer in answers
    ]
    if options is None:
        first = [alternatives(answer) for answer in chosen]
        return [
            {"question": text, "answer": found[0] if found else None} for text, found in zip(texts, first, strict=True)
        ]
    if not list_of(options, list) or len(options) != len(texts):
        return None
    return [
        {"question": text, "answer": answer, "options": listed}
        for text, answer, listed in zip(texts, chosen, options, strict=True)
    ]


@layout("squad", ("paragraphs",))
def squad(record: dict) -> list[Draft | Rejected] | None:
    """Read an article of SQuAD: `paragraphs` of `context` and `qas`, one conversation per question."""
    paragraphs = record["paragraphs"]
    if not list_of(paragraphs, dict):
        return None
    found = [
        draft
        for paragraph in paragraphs
        if list_of(paragraph.get("qas"), dict)
        for qa in paragraph["qas"]
        for draft in _read_question(text_of(paragraph.get("context")), qa)
    ]
    return found or None


def _read_question(context: str | None, qa: dict) -> Iterable[Draft | Rejected]:
    """Return the conversation of one of several questions about a context."""
    if chosen := multiple_choice({"context": context, **qa}) if find_options(qa) else None:
        return chosen
    answer, kept = ("", None) if qa.get("is_impossible") is True else extract_answer(qa, prefer_keys("answers"))
    return [
        kept
        if isinstance(kept, Rejected)
        else Draft(make_exchange(join_texts(context, qa.get("question")), answer), kept)
    ]


@layout("dream", bare=(list,))
def dream(record: list) -> Sequence[Draft | Rejected] | None:
    """Read DREAM's lists of a dialogue, questions about it, and an id."""
    if len(record) < 2 or not list_of(record[0], str) or not list_of(record[1], dict):
        return None
    return context_pairs({"context": "\n".join(record[0]), "qas": record[1]})


@layout("inference", *zip(*INFERENCE, strict=True), ("label", "gold_label"), answers=("label",))
def inference(record: dict) -> list[Draft | Rejected] | None:
    """Read two statements and the name of their relation (SNLI, MultiNLI). Numbers as labels are not read."""
    first, second = next((pair for pair in INFERENCE if pair[0] in record and pair[1] in record), (None, None))
    name = str(first_of(record, ("gold_label", "label"))).strip().lower()
    if name not in RELATIONS:
        return [Rejected("ambiguous_answer", name)] if name in ("-", "") else None
    statements = f"Premise: {record[first]}\nHypothesis: {record[second]}"
    return [Draft(make_exchange(join_texts(statements, "Entailment, neutral or contradiction?"), name))]


@layout("program", NAMES["code_tasks"], TESTED, (*TESTS, *TESTED[:4]))
def program(record: dict) -> list[Draft] | None:
    """Read the task, the first right solution, and as annotation `tests` the tests of a program (HumanEval, APPS).

    Solutions are a text, a list, or an object of lists (CodeContests); wrong ones under other keys are not read.
    """
    request = request_of(record) or add_context(record, first_of(record, NAMES["code_tasks"]))
    key = next((name for name in TESTED if record.get(name) not in (None, "", [])), None)
    solutions = record[key] if key else ""
    if key == "solutions":
        solutions = load_json(solutions)
    if isinstance(solutions, dict):
        solutions = first_of(solutions, ("solution", "solutions", "code", "text"))
    if list_of(solutions, dict):
        judged = [solution for solution in solutions if not any(solution.get(name) is False for name in TRUTH)]
        solutions = [first_of(solution, ("code", "solution", "text", "content")) for solution in judged]
    texts = [solutions] if isinstance(solutions, str) else alternatives(solutions)
    if not request or texts is None:
        return None
    starter = record.get("starter_code")
    turns = make_exchange(join_texts(request, starter if is_plain(starter) else None), texts[0] if texts else "")
    tests = first_of(record, TESTS)
    return [Draft(add_system(record, turns), {"tests": tests} if tests is not None else None)]
