"""Layouts with more than one answer to a request: the best is the row, the others are kept beside it."""

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.answers import earlier, request_of
from infinity_assets.reading.layouts.layout import Draft, layout
from infinity_assets.reading.layouts.turns import is_turn, record_turns, turns_of, with_system
from infinity_assets.reading.layouts.values import Turn, alternatives, first_of, list_of, loaded, text_of
from infinity_assets.rows.grammar import ROLES, Repaired, repair_roles

CHOSEN = (
    "chosen",
    "chosen_messages",
    "chosen_response",
    "response_chosen",
    "chosen_answer",
    "preferred_output",
    "preferred",
    "accepted",
)
REJECTED = (
    *(
        "rejected",
        "rejected_messages",
        "rejected_response",
        "response_rejected",
        "rejected_answer",
        "non_preferred_output",
        "dispreferred",
    ),
    "non_preferred",
)
"""The two sides of a pair, by what datasets call them."""

SCORES = (
    "chosen_score",
    "rejected_score",
    "chosen_rating",
    "rejected_rating",
    "score_chosen",
    "score_rejected",
    "margin",
)
"""Numbers about a pair that are kept."""

CANDIDATES = ("completions", "responses", "candidates", "answers", "outputs", "generations")
"""Keys of a list of rated answers."""

RATINGS = ("overall_score", "score", "rating", "reward", "pm_score", "upvotes", "votes")
"""Keys of what an answer was given; more is better."""


@layout("preference", CHOSEN, REJECTED)
def preference(record: dict) -> list[Draft] | None:
    """A chosen and a rejected answer: texts, turns, message lists or transcripts. The chosen side is the row; `rejected` and scores are kept."""
    before = _before(record)
    chosen, rejected = (_side(first_of(record, keys), before) for keys in (CHOSEN, REJECTED))
    if chosen is None:
        return None
    kept = {"rejected": _kept(rejected, chosen, first_of(record, REJECTED))}
    return [Draft(chosen, kept | {key: record[key] for key in SCORES if record.get(key) is not None})]


RANK = "rank"
"""The same where less is better, as Nectar's."""

PAIRS = (
    ("response_0", "response_1", ("better_response_id", "safer_response_id")),
    ("human_ref_a", "human_ref_b", ("labels",)),
    ("conversation_a", "conversation_b", ("winner",)),
    ("response_a", "response_b", ("winner",)),
)
"""Two answers and what says which is better: PKU-SafeRLHF's, SHP's, LMSYS's."""

FIRST, SECOND = ("model_a", "a", "response_a"), ("model_b", "b", "response_b")
"""What a winner is called."""


@layout(
    "compared_answers",
    asks=lambda keys: any(first in keys and second in keys for first, second, _ in PAIRS),
    answers=("labels",),
)
def compared_answers(record: dict) -> list[Draft] | None:
    """Two answers, or two conversations, and which of them is better: that is the row, the other is kept as `rejected`.

    Of a tie the first is the row, and the other is kept in `other_answers`. Null where nothing says which is better.
    """
    first, second, names = next(pair for pair in PAIRS if pair[0] in record and pair[1] in record)
    better = first_of(record, names)
    if better is None:
        return None
    said = str(better).strip().lower()
    before: list[Turn] = _before(record)
    if names == ("labels",):
        index = {"1": 0, "0": 1}.get(said)
        before = [("user", text_of(record.get("history")))]
    else:
        index = 0 if said in ("0", *FIRST) else 1 if said in ("1", *SECOND) else None
    sides = [_side(record[key], before) for key in (first, second)]
    chosen, other = sides[::-1] if index == 1 else sides
    if chosen is None or (index is None and not said.startswith("tie")):
        return None
    kept = _kept(other, chosen, record[first if index == 1 else second])
    return [Draft(chosen, {"other_answers": [kept]} if index is None else {"rejected": kept})]


@layout("rated_answers", CANDIDATES)
def rated_answers(record: dict) -> list[Draft] | None:
    """A request with a list of rated answers, as UltraFeedback's: the best rated one is the row, the others are kept as `other_answers`."""
    for key in CANDIDATES:
        answers = loaded(record.get(key))
        if list_of(answers, dict) and all(first_of(answer, (*RATINGS, RANK)) is not None for answer in answers):
            texts = [
                text_of(first_of(answer, ("response", "text", "content", "output", "answer", "completion")))
                for answer in answers
            ]
            request = _before({name: value for name, value in record.items() if name != key})
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


def _before(record: dict) -> list[Turn]:
    """What was said before the answers."""
    turns = record_turns(record, "messages", "conversations", "conversation", "prompt", "history")
    if turns is None and isinstance(record.get("input"), dict):  # OpenAI's preference files
        turns = record_turns(record["input"], "messages")
    if turns is None:
        request = request_of(record)
        if request and (asked := transcripts.unanswered(request)):
            return with_system(record, [*earlier(record), *asked])
        turns = [] if request == "" else with_system(record, [*earlier(record), ("user", request)])
    return turns


def _side(value: object, before: list[Turn]) -> list[Turn] | None:
    """One side of a pair as a whole conversation; null if it cannot be told what it is."""
    value = loaded(value)
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


def _kept(rejected: list[Turn] | None, chosen: list[Turn], value: object) -> object:
    """The rejected answer where all before it is as on the chosen side, else its messages, else what the record holds."""
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
