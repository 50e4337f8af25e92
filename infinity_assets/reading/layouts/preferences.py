"""Layouts with several answers to a request: the best becomes the row, the others become annotations."""

import math
from collections.abc import Sequence

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.answers import history_turns, request_of
from infinity_assets.reading.layouts.layout import Draft, layout, read_drafts
from infinity_assets.reading.layouts.turns import add_system, is_turn, list_rows, record_turns, turns_of
from infinity_assets.reading.layouts.values import Turn, alternatives, first_of, join_texts, list_of, load_json, text_of
from infinity_assets.reading.names import NAMES
from infinity_assets.rows.grammar import ROLES, Rejected, Repaired, repair_roles

CHOSEN = NAMES["chosen"]
REJECTED = NAMES["rejected"]
"""Keys of the chosen and of the rejected answer."""

SCORES = NAMES["pair_scores"]
"""Keys of the scores of a pair, kept as annotations."""

CANDIDATES = ("completions", "responses", "candidates", "answers", "outputs", "generations")
"""Keys that may hold a list of rated answers."""

LISTED_RATINGS = ("score", "rating", "rank", "reward", "votes", "upvotes", "correct", "is_correct", "verdict", "label")
"""Beginnings of the keys of lists with a rating, a rank (1 is the best) or a truth for each answer."""

RATINGS = ("overall_score", "score", "rating", "reward", "pm_score", "upvotes", "votes")
"""Keys of the rating of an answer; higher is better."""


PASSAGES = frozenset(("pos", "positive", "neg", "negative"))
"""Keys that in datasets for retrieval hold lists of passages."""


@layout("preference", CHOSEN, REJECTED)
def preference(record: dict) -> list[Draft] | None:
    """Read a chosen and a rejected answer: texts, turns, message lists or transcripts. Keep `rejected` and scores."""
    if any(isinstance(record[key], list) for key in PASSAGES & record.keys()):
        return None
    before = _turns_before(record)
    chosen, rejected = (_read_side(first_of(record, keys), before) for keys in (CHOSEN, REJECTED))
    if chosen is None:
        return None
    kept = {"rejected": _rejected_value(rejected, chosen, first_of(record, REJECTED))}
    return [Draft(chosen, kept | {key: record[key] for key in SCORES if record.get(key) is not None})]


@layout("beside_rejected", asks=lambda keys: not keys.isdisjoint(REJECTED) and keys.isdisjoint(CHOSEN))
def beside_rejected(record: dict) -> Sequence[Draft | Rejected] | None:
    """Read a conversation or an answer in any other layout, and keep the rejected answer beside it (ms-swift)."""
    value = load_json(first_of(record, REJECTED))
    if not isinstance(value, str | list | dict):
        return None
    drafts = read_drafts({key: content for key, content in record.items() if key not in REJECTED})
    if drafts is None or len(drafts) != 1 or isinstance(draft := drafts[0], Rejected):
        return drafts
    rejected = _read_side(value, draft.turns[:-1])
    return [draft._replace(kept={**(draft.kept or {}), "rejected": _rejected_value(rejected, draft.turns, value)})]


RANK = "rank"
"""Key of the rank of an answer, as in Nectar; lower is better."""

_PREFERRED = ("winner", "preferred", "preference", "better", "choice", "chosen")

PAIRS = (
    ("response_0", "response_1", ("better_response_id", "safer_response_id")),
    ("human_ref_a", "human_ref_b", ("labels",)),
    ("conversation_a", "conversation_b", ("winner", "winner_model_a")),
    ("response_a", "response_b", ("winner", "winner_model_a")),
    ("response1", "response2", ("overall_preference",)),
    ("answer_0", "answer_1", ("score_0",)),
    ("response_1", "response_2", ("score_1", *_PREFERRED)),
    ("response_a", "response_b", _PREFERRED),
    ("answer_a", "answer_b", _PREFERRED),
    ("answer_1", "answer_2", _PREFERRED),
    ("completion_a", "completion_b", _PREFERRED),
    ("completion_1", "completion_2", _PREFERRED),
    ("output_a", "output_b", _PREFERRED),
    ("output_1", "output_2", _PREFERRED),
    ("a", "b", _PREFERRED),
)
"""Keys of two answers and of the verdict on them: PKU-SafeRLHF, SHP, LMSYS, HelpSteer3, WebGPT."""

FIRST = ("model_a", "a", "response_a")
SECOND = ("model_b", "b", "response_b")
"""Verdicts that name the first or the second answer as the better one."""


@layout(
    "compared_answers",
    asks=lambda keys: any(first in keys and second in keys for first, second, _ in PAIRS),
    answers=("labels", "winner_model_a", "score_0", "score_1"),
)
def compared_answers(record: dict) -> list[Draft] | None:
    """Read two answers or conversations and a verdict on them. Keep the worse one as `rejected`.

    In a tie the first becomes the row, and the second is kept in `other_answers`. Without a verdict, return `None`.
    """
    first, second, names = next(pair for pair in PAIRS if pair[0] in record and pair[1] in record)
    name = next((name for name in names if record.get(name) is not None), None)
    if name is None:
        return None
    verdict = str(record[name]).strip().lower()
    before = _turns_before_pair(record, name)
    index, is_tie = _find_better(record, name, verdict)
    sides = [_read_pair_side(record[key], before) for key in (first, second)]
    chosen, other = sides[::-1] if index == 1 else sides
    if chosen is None or (index is None and not is_tie):
        return None
    kept = _rejected_value(other, chosen, record[first if index == 1 else second])
    if index is not None:
        return [Draft(chosen, {"rejected": kept})]
    return [Draft(chosen, {"other_answers": [kept]} | ({"verdict": "wrong"} if "bad" in verdict else {}))]


def _find_better(record: dict, name: str, verdict: str) -> tuple[int | None, bool]:
    """Return the index of the better of two answers, or `None`, and whether neither is better."""
    if name == "labels":
        return {"1": 0, "0": 1}.get(verdict), False
    if name == "overall_preference":  # negative if the first is better
        leads, trails = 0.0, _number(verdict)
    elif name == "winner_model_a":
        leads, trails = _number(verdict), _number(record.get("winner_model_b"))
    elif name.startswith("score"):
        leads, trails = _number(verdict), _number(record.get("score_1" if name == "score_0" else "score_2"))
    else:
        first, second = next((pair[0], pair[1]) for pair in PAIRS if pair[0] in record and pair[1] in record)
        known = [{first, first.rpartition("_")[2], *FIRST}, {second, second.rpartition("_")[2], *SECOND}]
        if first[-1:] not in "12":
            known = [known[0] | {"0"}, known[1] | {"1"}]
        index = next((index for index, names in enumerate(known) if verdict in names), None)
        return index, verdict.startswith("tie")
    if leads is None or trails is None:
        return None, False
    return (None if leads == trails else int(trails > leads)), leads == trails


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _turns_before_pair(record: dict, name: str) -> list[Turn]:
    if name == "labels":
        return [("user", text_of(record.get("history")))]
    question = record.get("question")
    if isinstance(question, dict):  # WebGPT
        return [("user", text_of(first_of(question, ("full_text", "text"))))]
    prompt = load_json(record.get("prompt"))
    if list_of(prompt, str):  # all requests of a conversation
        return [("user", text) for text in prompt]
    return record_turns(record, "context") or _turns_before(record)


def _read_pair_side(value: object, before: list[Turn]) -> list[Turn] | None:
    """Return one of two answers as a whole conversation: with the requests before it, one answer for each."""
    answers = load_json(value)
    if list_of(answers, str) and len(answers) == len(before) and isinstance(value, str):
        return [
            turn for request, answer in zip(before, answers, strict=True) for turn in (request, ("assistant", answer))
        ]
    return _read_side(value, before)


@layout("steps", ("completions",), ("labels",), answers=("labels",))
def steps(record: dict) -> list[Draft] | None:
    """Read TRL's steps of one answer under `completions`, with the truth of each under `labels`."""
    parts, labels = record["completions"], record["labels"]
    if not list_of(parts, str) or not list_of(labels, bool) or len(parts) != len(labels):
        return None
    before = _turns_before({key: value for key, value in record.items() if key not in ("completions", "labels")})
    verdict = "right" if all(labels) else "wrong"
    return [Draft([*before, ("assistant", "\n\n".join(parts))], {"verdict": verdict})]


@layout("rated_answers", CANDIDATES)
def rated_answers(record: dict) -> list[Draft] | None:
    """Read a request with rated answers, as in UltraFeedback. Take the best; keep its `rating` and `other_answers`.

    ELI5's request is a title and a text, and its answers are columns of texts and scores.
    """
    if "title" in record and "selftext" in record:
        record = {"prompt": join_texts(record["title"], record["selftext"]), "answers": record.get("answers")}
    for key in CANDIDATES:
        answers = load_json(record.get(key))
        answers = list_rows(answers) if isinstance(answers, dict) else answers
        if list_of(answers, str) and (judged := _judge_listed(record, key, answers)):
            return judged
        if list_of(answers, dict) and all(first_of(answer, (*RATINGS, RANK)) is not None for answer in answers):
            texts = [
                text_of(first_of(answer, ("response", "text", "content", "output", "answer", "completion")))
                for answer in answers
            ]
            request = _turns_before({name: value for name, value in record.items() if name != key})
            if request and any(texts):
                best = max(range(len(answers)), key=lambda index: (bool(texts[index]), _rating(answers[index]), -index))
                others = [answer for index, answer in enumerate(answers) if index != best]
                return [
                    Draft(
                        [*request, ("assistant", texts[best])],
                        {"rating": first_of(answers[best], (*RATINGS, RANK)), "other_answers": others},
                    )
                ]
    return None


def _judge_listed(record: dict, key: str, answers: list[str]) -> list[Draft] | None:
    """Return the best of several answers by the list of their scores, ranks or truths, or `None` if there is none."""
    for name, values in record.items():
        listed = load_json(values) if name != key else None
        if not isinstance(listed, list) or len(listed) != len(answers) or not name.startswith(LISTED_RATINGS):
            continue
        if not all(isinstance(value, int | float) for value in listed):
            continue
        request = _turns_before({one: value for one, value in record.items() if one not in (key, name)})
        if not request or not _is_request(request[-1][0]):  # the turns have an answer of their own
            return None
        sign = -1 if name.startswith("rank") else 1
        best = max(range(len(answers)), key=lambda index: (sign * listed[index], -index))
        kept: dict[str, object] = {"rating": listed[best], "other_answers": [*answers[:best], *answers[best + 1 :]]}
        if all(isinstance(value, bool) for value in listed):
            kept = {"other_answers": kept["other_answers"], "verdict": "right" if listed[best] else "wrong"}
        return [Draft([*request, ("assistant", answers[best])], kept)]
    return None


def _turns_before(record: dict) -> list[Turn]:
    """Return the turns of a record that precede its answers."""
    turns = record_turns(
        record, "messages", "conversations", "conversation", "prompt", "history", "trajectory", "context"
    )
    if turns is None and isinstance(record.get("input"), dict):  # OpenAI's preference files
        turns = record_turns(record["input"], "messages")
    if turns is None:
        request = request_of(record)
        if request and (transcript_turns := transcripts.turns_before_answer(request)):
            return add_system(record, [*history_turns(record), *transcript_turns])
        turns = [] if request == "" else add_system(record, [*history_turns(record), ("user", request)])
    return turns


def _read_side(value: object, before: list[Turn]) -> list[Turn] | None:
    """Return the chosen or the rejected side as a whole conversation, or `None` if it is unreadable."""
    value = load_json(value)
    if isinstance(value, dict) and is_turn(value):
        value = [value]
    if list_of(value, dict):
        turns = turns_of(value) or []
        return turns if any(_is_request(name) for name, _ in turns) else [*before, *turns] if turns and before else None
    if isinstance(value, str) and (turns := transcripts.turns_of(value)):
        return list(turns)
    texts = alternatives(value)
    return [*before, ("assistant", texts[0])] if texts and before else None


def _is_request(name: object) -> bool:
    return isinstance(name, str) and ROLES.get(name.strip().lower()) == "user"


def _rejected_value(rejected: list[Turn] | None, chosen: list[Turn], value: object) -> object:
    """Return the rejected answer if both sides share the turns before it, else its messages or the raw value."""
    sides = [repair_roles(side) for side in (rejected or (), chosen)]
    if not isinstance(sides[0], Repaired):
        return value
    ours = sides[1].messages if isinstance(sides[1], Repaired) else []
    messages = sides[0].messages
    return messages[-1]["content"] if messages[:-1] == ours[:-1] and messages[-1]["role"] == "assistant" else messages


def _rating(answer: dict) -> float:
    rating = first_of(answer, RATINGS)
    try:
        return -float(str(answer[RANK])) if rating is None else float(str(rating))
    except ValueError:
        return float("-inf")
