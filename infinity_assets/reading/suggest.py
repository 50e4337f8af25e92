"""Suggestions of `source.yaml` lines for records in no known layout, tried on the records before they are shown."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import yaml

from infinity_assets.errors import InfinityError
from infinity_assets.reading import transcripts
from infinity_assets.reading.fields import Field, find_fields, find_unread, measure_association
from infinity_assets.reading.layouts import Parsed, parse
from infinity_assets.reading.layouts.turns import is_turn, turns_of
from infinity_assets.reading.layouts.values import list_of, load_json
from infinity_assets.reading.mapping import FieldMapping, paths_of
from infinity_assets.reading.names import read_name
from infinity_assets.rows.grammar import ROLES, Message

TEMPLATE = """\
# No mapping that was tried makes plausible rows. Fill in a path (`meta.reply.0`) or a template (`"{title}: {body}"`).
# layout: alpaca
# fields:
#   instruction: PATH
#   input: PATH
#   output: PATH"""

GUESSED = "# Tried on the records: check that the row below is right."

MIN_FIT = 0.9
"""Minimum share of the records that a suggestion must read."""

MIN_SCORE = 1.0
"""Minimum score of a request and an answer to be suggested."""

MIN_BODY = 40
"""Minimum mean length, in characters, of a text that is suggested as a passage."""

JUDGING = ("label", "winner", "better", "safer", "prefer", "correct", "gold", "rank", "choice", "best")
"""Words in the names of keys that tell the right one of several answers."""

_KEYS_SHOWN = 12
_KEY_CHARS = 60
_TRIED = 12
"""Maximum number of mappings to try."""

_CANDIDATE = re.compile(r"^(.+?)[_ ]?(?:\d|[a-d]|[A-D])$")
_COLUMNS = ("col", "column", "field", "var", "unnamed:")
"""Names of columns without a meaning, before a number."""

_LETTER = re.compile(r"\(?[A-Ha-h]\)?\.?")
_INDEX = re.compile(r"\.-?\d+(?=\.|$)")
"""Matches the index of a list in a path."""

_LISTED = re.compile(r"(?:^|[\s(])A[.):]\s*\S")
"""Matches the first option in a question."""

_MARK = re.compile(r"(?:^|\n|#|<\|)\W*(?:human|user|assistant|instruction|output|response|answer)\W*:", re.IGNORECASE)
"""Matches the mark of a speaker, so that the text is no request and no passage."""


class Mapping(NamedTuple):
    """Values of `layout` and `fields` for a `source.yaml`."""

    layout: str
    fields: dict[str, str]


class Suggestion(NamedTuple):
    """Lines of a `source.yaml` that were tried on a sample of records."""

    lines: str
    mapping: Mapping | None
    """The mapping of these lines; `None` if they are a form to fill in."""
    tried: int
    fit: int
    """Number of the records tried that became rows."""
    rows: list[list[Message]]
    """The messages of up to three of these rows, from the first to the last."""
    unread: tuple[str, ...] = ()
    """Paths of texts of which it is not clear what they are, and which the rows leave out."""


class Exchange(NamedTuple):
    """Two fields that may be a request and its answer, with the evidence."""

    request: Field
    answer: Field
    by_values: float
    """Evidence from the values alone: question marks, lengths, order, copies, words in common."""
    by_names: float
    """Evidence from the names alone."""

    @property
    def score(self) -> float:
        """The evidence together."""
        return self.by_values + self.by_names


def suggest(values: Iterable[object]) -> Suggestion:
    """Return the best mapping that reads nearly all of a sample of records into plausible rows.

    If there is none, or if the records seem to hold several answers and a key that tells the right one, the lines are a
    form to fill in, with the keys and an example of each.
    """
    sample = list(values)
    records = [value for value in sample if isinstance(value, dict)]
    partial = []
    for mapping in _candidates(records):
        suggestion = try_mapping(mapping, sample)
        if suggestion and not suggestion.unread:
            return suggestion
        partial += [suggestion] if suggestion and len(suggestion.rows[0]) > 1 else []
    for suggestion in partial:
        if _is_useful(suggestion):
            left = ", ".join(suggestion.unread)
            return suggestion._replace(lines=f"{suggestion.lines}\n# Not read: {left}")
    return Suggestion(_form(records), None, len(sample), 0, [])


def try_mapping(mapping: Mapping, sample: Sequence[object]) -> Suggestion | None:
    """Return a mapping as a suggestion if it reads nearly all records of a sample into plausible rows, else `None`."""
    try:
        read = FieldMapping(mapping.fields)
    except InfinityError:  # a key that cannot be written as a path
        return None
    has_answer = (
        not {"messages", "output", "answer", "completion"}.isdisjoint(mapping.fields) or mapping.layout == "transcript"
    )
    rows: list[Parsed] = []
    reached: list[tuple[dict, str]] = []
    for value in sample:
        outcomes = parse(read(value), mapping.layout)
        parsed = [one for one in outcomes if isinstance(one, Parsed) and is_plausible(one)]
        if len(parsed) == len(outcomes) and (has_answer or parsed[0].kind != "conversation"):
            rows += parsed[:1]
            texts = [message["content"] for outcome in parsed for message in outcome.messages]
            kept = [str(text) for outcome in parsed for text in (outcome.kept or {}).values()]
            reached += [(value, "\n".join((*texts, *kept)))] if isinstance(value, dict) else []
    if not rows or len(rows) < MIN_FIT * len(sample):
        return None
    used = [_INDEX.sub("", path) for spec in mapping.fields.values() for path in paths_of(spec)]
    is_short = all(len(row.messages[-1]["content"].split()) < 2 for row in rows)
    is_sure = _are_named(mapping) and not is_short
    unread = [
        one.path
        for one in find_unread(reached)
        if not any(f"{one.path}.".startswith(f"{path}.") for path in used)
        and matters(one.path, rows[0].kind == "instruction")
        and (one.is_running or not is_sure or ((meaning := read_name(one.path)) and meaning.role == "context"))
    ]
    shown = [rows[place].messages for place in sorted({0, len(rows) // 2, len(rows) - 1})]
    return Suggestion(format_lines(mapping), mapping, len(sample), len(rows), shown, tuple(unread))


def matters(path: str, asks_only: bool = False) -> bool:
    """Return whether a text at a path may belong to the conversation: it is no fact, remark or worse answer.

    Args:
        asks_only: True if the row has no answer, so that any other text may be one.
    """
    meaning = read_name(path)
    return meaning is None or meaning.role not in (("facts",) if asks_only else ("facts", "beside", "worse"))


def _are_named(mapping: Mapping) -> bool:
    """Return whether the names of the fields say that they are a request and an answer."""
    return {meaning.role for path in mapping.fields.values() if (meaning := read_name(path))} >= {"request", "answer"}


def _is_useful(suggestion: Suggestion) -> bool:
    """Return whether to show a suggestion that leaves texts out: its names are clear, and theirs are of other things."""
    assert suggestion.mapping
    used = {_head(path) for path in suggestion.mapping.fields.values()}
    meanings = [read_name(path) for path in suggestion.unread if _head(path) not in used]
    others = [one.role if one else None for one in meanings if not (one and one.is_earlier)]
    return _are_named(suggestion.mapping) and {"maybe_request", "maybe_answer"}.issuperset(others)


def _head(path: str) -> str:
    """Return the last word of a path; `full_prompt` and `short_prompt` are two forms of a prompt."""
    return re.split(r"[^a-z]+", path.lower().rstrip("0123456789._ "))[-1]


def format_lines(mapping: Mapping) -> str:
    """Return a mapping as lines of a `source.yaml`."""
    lines = (f"  {name}: {_quote(path)}" for name, path in mapping.fields.items())
    return "\n".join((GUESSED, f"layout: {mapping.layout}", "fields:", *lines))


def rank_exchanges(fields: Sequence[Field], by_names: bool = True) -> list[Exchange]:
    """Return the pairs of fields that may be a request and its answer, the likeliest first.

    Args:
        by_names: False if names must not decide which fields are compared.
    """
    named = [one for one in fields if by_names and _has_role(one, "answer")]
    texts = [one for one in fields if one.present and (one.is_text or one in named)]
    pairs = [
        Exchange(request, answer, _weigh_values(request, answer), _weigh_names(request, answer))
        for request in _prefer_named(texts, "request" if by_names else None)
        if request.is_text and (request.is_running or request.asks >= 0.5)
        for answer in _prefer_named(texts, "answer" if by_names else None)
        if answer is not request
    ]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.request.place, pair.answer.place))


def _has_role(field: Field, role: str) -> bool:
    return field.name is not None and field.name.role == role


def _prefer_named(fields: list[Field], role: str | None) -> list[Field]:
    """Return the fields that may have a role: those whose names say so, or all if there is no such field."""
    return [one for one in fields if role and _has_role(one, role) and not one.is_constant] or fields


def build_mapping(pair: Exchange, fields: Sequence[Field]) -> Mapping:
    """Return the mapping of a request and an answer, with the context and the system prompt among the other fields."""
    others = [
        one
        for one in fields
        if one not in (pair.request, pair.answer) and (one.is_running or _has_role(one, "context"))
    ]
    system = next((one for one in others if _has_role(one, "system")), None)
    contexts = [one for one in others if one is not system and is_context(one, pair)]
    named = {"system": system.path} if system else {}
    task = next((one for one in others if one.is_constant and _has_role(one, "request")), None)
    if task:
        about = {"instruction": task.path, "input": pair.request.path, "output": pair.answer.path}
        return Mapping("alpaca", {**named, **about})
    if not contexts:
        return Mapping("alpaca", {**named, "instruction": pair.request.path, "output": pair.answer.path})
    contexts = sorted(contexts, key=lambda one: (-pair.answer.is_in(one), -one.length))[:2]
    contexts.sort(key=lambda one: one.place)
    context = contexts[0].path if len(contexts) == 1 else "\n\n".join(f"{{{one.path}}}" for one in contexts)
    if pair.request.questions >= 0.5 and "input" not in context.lower():
        about = {"context": context, "question": pair.request.path, "answer": pair.answer.path}
        return Mapping("question_answer", {**named, **about})
    return Mapping("alpaca", {**named, "instruction": pair.request.path, "input": context, "output": pair.answer.path})


def is_context(field: Field, pair: Exchange) -> bool:
    """Return whether a field is what a request is about: by its name, or because it holds the answer."""
    if pair.request.is_in(field) or field.is_in(pair.request) or field.is_in(pair.answer):
        return False
    role = field.name.role if field.name else None
    if role == "context" or (role == "maybe_request" and not field.is_constant):
        return not (field.name and field.name.is_earlier)
    is_named = pair.answer.name is not None and pair.answer.name.role == "answer"
    if role == "maybe_answer" and is_named and not field.is_constant:
        return True
    return role is None and pair.answer.is_in(field) and field.length > 2 * pair.answer.length


def _candidates(records: list[dict]) -> Iterator[Mapping]:
    """Yield mappings to try, the likeliest first."""
    if not records:
        return
    yield from _conversations(records)
    fields = find_fields(records)
    yield from _choices(records, fields)
    if _are_candidates(records, fields) or _has_other_answer(records, fields):
        return
    pairs = [pair for pair in rank_exchanges(fields) if pair.score >= MIN_SCORE]
    yield from (build_mapping(pair, fields) for pair in pairs[:_TRIED])
    running = [one for one in fields if one.is_running and not one.is_constant]
    if pairs or len(running) != 1:
        return
    only = running[0]
    others = [one for one in fields if one is not only and one.name is None and not one.is_text and one.distinct > 0.5]
    if others and only.questions >= 0.5:  # numbers that may be the answers, as in MGSM
        if len(others) == 1:
            yield Mapping("alpaca", {"instruction": only.path, "output": others[0].path})
        return
    if _has_role(only, "request") or only.asks >= 0.5:
        yield Mapping("alpaca", {"instruction": only.path})
    elif (only.length >= MIN_BODY or len(records[0]) == 1) and not any(
        text.lstrip()[:1] in "[{" for text in only.present
    ):
        yield Mapping("text", {"text": only.path})


def _conversations(records: list[dict]) -> Iterator[Mapping]:
    """Yield mappings of lists of turns, and of texts with marks of speakers, at any depth."""
    has_answer = any(_has_role(one, "answer") for one in find_fields(records))
    for path, value in _containers(records[0], ""):
        turns = turns_of(value) if _has_turns(value) else None
        if turns and all(isinstance(role, str) and role.strip().lower() in ROLES for role, _ in turns):
            tools = next((at for at, other in _containers(records[0], "") if _defines_tools(other)), None)
            yield Mapping("openai", {"messages": path, **({"tools": tools} if tools else {})})
            for one in find_fields(records):
                if _has_role(one, "answer") and not one.path.startswith(f"{path}."):
                    yield Mapping("prompt_completion", {"prompt": path, "completion": one.path})
        elif not has_answer and isinstance(value, str) and transcripts.turns_of(value):
            yield Mapping("transcript", {"text": path})


def _containers(value: object, path: str, depth: int = 3) -> Iterator[tuple[str, object]]:
    """Yield the texts, the lists and the objects, also if written as JSON, in an object, with their paths."""
    if not isinstance(value, dict) or not depth:
        return
    for key, inner in value.items():
        at = f"{path}.{key}" if path else str(key)
        loaded = load_json(inner)
        if isinstance(loaded, dict):
            yield from _containers(loaded, at, depth - 1)
        if isinstance(loaded, str | list | dict):
            yield at, loaded


def _defines_tools(value: object) -> bool:
    """Return whether a value is a list of definitions of tools: objects with a name and parameters."""
    return list_of(value, dict) and all(
        isinstance(one.get("function"), dict) or one.keys() >= {"name", "parameters"} for one in value
    )


def _has_turns(value: object) -> bool:
    """Return whether a value is a list of objects, or of lists of objects."""
    turns = value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else value
    return list_of(turns, dict) and all(map(is_turn, turns))


def _choices(records: list[dict], fields: Sequence[Field]) -> Iterator[Mapping]:
    """Yield mappings of a question, a list of options, and the field that names the right one, by text or letter."""
    for key, value in records[0].items():
        if not list_of(value, str) or len(value) < 2 or len(value) > 10:
            continue
        listed = [record.get(key) for record in records]
        if any(text.rstrip().endswith("?") for text in value):
            continue
        others = [
            one for one in fields if one.path.partition(".")[0] != key and (not one.name or one.name.role != "facts")
        ]
        rights = [one for one in others if _names_option(one, listed)]
        asked = [one for one in others if one.is_running and one not in rights]
        asked.sort(key=lambda one: (-(one.asks + _weigh(one, "request")), one.place))
        if len(rights) == 1 and asked:
            yield Mapping("multiple_choice", {"question": asked[0].path, "options": key, "answer": rights[0].path})


def _names_option(field: Field, options: list[object]) -> bool:
    """Return whether the values of a field are options or their letters."""
    pairs = [(text, listed) for text, listed in zip(field.texts, options, strict=True) if text]
    return bool(pairs) and all(
        isinstance(listed, list) and (text in listed or _LETTER.fullmatch(text.strip()) is not None)
        for text, listed in pairs
    )


def _weigh_values(request: Field, answer: Field) -> float:
    """Return the evidence of the values that an answer belongs to a request, about -5 to 5."""
    weight = 2 * (request.asks - answer.asks)
    weight += 2 * min(0.5, max(0.0, measure_association(request, answer)))
    weight += 0.5 if request.place < answer.place else -0.5
    weight += 0.5 if answer.length > 1.2 * request.length else 0.0
    weight -= 2 if request.is_constant else 0
    weight -= 2 if answer.is_constant and len(answer.present) >= 5 else 0
    weight -= 1 if not answer.is_running else 0
    weight -= 3 if request.is_in(answer) else 0
    weight -= 3 if answer.is_in(request) and answer.is_running else 0
    return weight


def _weigh_names(request: Field, answer: Field) -> float:
    return _weigh(request, "request") + _weigh(answer, "answer")


def _weigh(field: Field, role: str) -> float:
    """Return the evidence of a name that a field has a role: 2 for it, 0 without a hint, -3 against it."""
    if field.name is None:
        return 0.0
    weights = {"maybe_request": -2.0, "maybe_answer": -1.0, role: 2.0, f"maybe_{role}": 1.0}
    weight = weights.get(field.name.role, -3.0)
    if field.name.role == "context" and role == "request":
        weight = -1.0
    return weight - field.name.is_earlier


def _are_candidates(records: list[dict], fields: Sequence[Field]) -> bool:
    """Return whether records hold several answers or options, as `sol1` and `sol2`, `A` and `B`, or a list of objects."""
    texts = [one for one in fields if one.is_text]
    stems = [found[1].lower() for one in texts if (found := _CANDIDATE.match(one.path))]
    stems = [stem for stem in stems if len(stem) > 1 and stem not in _COLUMNS]
    letters = sum(one.path in ("A", "B", "C", "a", "b", "c") for one in texts)
    worse = any(_has_role(one, "worse") for one in texts)
    named = any(_has_role(one, "answer") for one in texts)
    judged = any(word in str(key).lower() for key in records[0] for word in JUDGING)
    listed = judged and any(_lists_answers(value) for value in records[0].values())
    return len(set(stems)) < len(stems) or letters > 1 or listed or (worse and not named)


def _has_other_answer(records: list[dict], fields: Sequence[Field]) -> bool:
    """Return whether a key is named after an answer, but no field is: its value has another form."""
    named = any((meaning := read_name(str(key))) and meaning.role == "answer" for key in records[0])
    return named and not any(_has_role(one, "answer") for one in fields)


def _lists_answers(value: object) -> bool:
    """Return whether a value is a list of several texts, or of objects with a text."""
    first = value[0].values() if list_of(value, dict) else value[:1] if isinstance(value, list) else ()
    return isinstance(value, list) and len(value) > 1 and any(isinstance(inner, str) for inner in first)


def is_plausible(row: Parsed) -> bool:
    """Return whether the turns of a row differ from each other and hold words."""
    said = [message["content"].strip() for message in row.messages if message["role"] != "system"]
    if len(set(said)) < len(said) or not any(char.isalpha() for char in said[0]):
        return False
    if row.kind != "conversation":
        return not _MARK.search(said[0])
    answers = load_json(said[-1], "[")
    if list_of(answers, str) and len(answers) > 1:
        return False
    return not _LETTER.fullmatch(said[-1]) or _LISTED.search(said[0]) is not None


def _form(records: list[dict]) -> str:
    """Return the form to fill in, with the keys and an example of each."""
    fields = find_fields(records)[:_KEYS_SHOWN] if records else []
    if not fields:
        return TEMPLATE
    shown = (f"#   {_quote(one.path)}: {_to_json(one.present[0][:_KEY_CHARS])}" for one in fields)
    return "\n".join((TEMPLATE, "# Paths, each with an example:", *shown))


def _quote(path: str) -> str:
    """Return the path as a YAML scalar, quoted if needed."""
    bare = path.replace(".", "").replace("_", "").isalnum() and yaml.safe_load(path) == path
    return path if bare else _to_json(path)


def _to_json(text: str) -> str:
    """Return a text as JSON that is YAML too: characters that do not print are escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable()).replace("\x7f", "\\u007f")
