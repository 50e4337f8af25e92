"""Guesses of what the fields of a source's records mean, where the names that layouts know do not decide.

A guess is made once for a source, from records at its beginning, so that it does not depend on how the source is read.
It is sure if two readings that share no evidence agree on the request and the answer: one of the names of the fields,
and one of their values. In doubt there is no sure guess: a wrong row is worse than a missing one.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import islice
from typing import NamedTuple

from infinity_assets.reading.containers import read_blocks
from infinity_assets.reading.fields import Field, find_fields, find_unread, unread_paths
from infinity_assets.reading.layouts import Parsed, Rejected, parse, parse_named
from infinity_assets.reading.layouts.facts import TRUTHS
from infinity_assets.reading.mapping import FieldMapping, paths_of
from infinity_assets.reading.names import plain_key
from infinity_assets.reading.numbering import count_from_zero
from infinity_assets.reading.sources import Source
from infinity_assets.reading.suggest import MIN_FIT, Mapping, Suggestion, is_plausible, matters, rank_exchanges, suggest
from infinity_assets.rows.grammar import Message

UNKNOWN_LAYOUT = "unknown_layout"

NAME = "guess"
"""Name of the layout of records that a guess reads."""

ANNOTATION = "guessed_fields"
"""Name of the annotation that says which mapping was guessed."""

MIN_RECORDS = 3
"""Minimum number of different records for a sure guess."""

MIN_VALUES = 1.5
"""Minimum evidence of the values for a sure guess: more than the order and the lengths alone give."""

MIN_LEAD = 0.5
"""Minimum lead in evidence of the best pair of fields over the second best."""

_FILES = 5
_RECORDS = 200
"""Maximum numbers of files, and of records per file, at the beginning of a source that a guess is made from."""


ReadNamed = Callable[[object], tuple[str | None, list[Parsed | Rejected]]]
"""Function that returns the name of the layout that reads a record, or `None`, and the outcomes."""


class Guess(NamedTuple):
    """A mapping that was guessed for a source."""

    mapping: Mapping
    confidence: float
    """Between 0 and 1, from the evidence of names and values and the share of the records that became rows."""
    is_sure: bool
    """True if two independent readings agree, so that the guess may be applied."""
    rows: list[list[Message]]
    """The messages of up to three rows read that way."""
    beside: frozenset[str] = frozenset()
    """Paths of texts that are no part of the conversation: facts, remarks, and values that hardly vary."""


class GuessReader:
    """Reads records of unknown layout as a guess says."""

    def __init__(self, guess: Guess) -> None:
        self._mapping = guess.mapping
        self._map = FieldMapping(guess.mapping.fields)
        self._beside = guess.beside
        self._needed = guess.mapping.fields.keys() - {"system", "input", "context"}
        self._kept = {ANNOTATION: {"layout": guess.mapping.layout, **guess.mapping.fields}}

    def read(self, record: object) -> list[Parsed] | None:
        """Return the rows of a record.

        Returns:
            `None` if the record lacks the request or the answer, gives no plausible exchange, or has a text that the
            rows leave out and that was not beside the conversation in the records that the guess was made from.
        """
        if not isinstance(record, dict):
            return None
        mapped = self._map(record)
        if not isinstance(mapped, dict) or not mapped.keys() >= self._needed:
            return None
        rows = []
        for outcome in parse(mapped, self._mapping.layout):
            if isinstance(outcome, Rejected) or outcome.kind != "conversation" or not is_plausible(outcome):
                return None
            if outcome.kept and "other_answers" in outcome.kept:  # the first of several need not be the best
                return None
            rows.append(outcome._replace(kept={**(outcome.kept or {}), **self._kept}))
        reached = "\n".join(message["content"] for row in rows for message in row.messages)
        return rows if unread_paths(record, reached) <= self._beside else None


def find_guess(source: Source) -> Guess | None:
    """Return the guess for the records of unknown layout at the beginning of a source, or `None` if there is none.

    A source whose `layout` or `fields` is set has no guess: its user has said how to read it.
    """
    if source.layout or source.fields:
        return None
    return make_guess([*_sample(source)])


def find_sure_guess(source: Source, mode: str) -> Guess | None:
    """Return the guess to apply to a source, or `None`, given the setting `ingest.guess`."""
    guess = find_guess(source) if mode == "sure" else None
    return guess if guess and guess.is_sure else None


def make_guess(records: Sequence[object]) -> Guess | None:
    """Return the guess for the most frequent kind of records of unknown layout, by their keys."""
    kinds: dict[tuple, list[dict]] = {}
    for record in records:
        if isinstance(record, dict):
            kinds.setdefault(tuple(sorted(map(str, record))), []).append(record)
    if not kinds:
        return None
    sample = max(kinds.values(), key=len)
    suggestion = suggest(sample)
    if suggestion.mapping is None:
        return None
    lead = _agreed_lead(find_fields(sample), suggestion.mapping)
    different = len({repr(record) for record in sample})
    guess = Guess(suggestion.mapping, _confidence(suggestion, lead, different), False, suggestion.rows, _beside(sample))
    fit = sum(GuessReader(guess).read(record) is not None for record in sample)
    is_whole = not suggestion.unread and fit >= MIN_FIT * len(sample) and not _has_verdicts(sample)
    return guess._replace(is_sure=lead is not None and is_whole and different >= MIN_RECORDS)


def _has_verdicts(sample: Sequence[dict]) -> bool:
    """Return whether a truth value under an unknown name varies: it may say that some of the answers are wrong."""
    seen: dict[str, set[str]] = {}
    for record in sample:
        for key, value in record.items():
            if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
                seen.setdefault(plain_key(key), set()).add(str(value).lower())
    return any(len(values) > 1 and name not in TRUTHS for name, values in seen.items())


def _beside(sample: Sequence[dict]) -> frozenset[str]:
    """Return the paths of texts that are no part of a conversation, by their names or because they hardly vary."""
    varying = {one.path for one in find_unread([(record, "") for record in sample])}
    paths = {path for record in sample for path in unread_paths(record, "")}
    return frozenset(path for path in paths if path not in varying or not matters(path))


def _agreed_lead(fields: list[Field], mapping: Mapping) -> float | None:
    """Return the lead of a request and an answer over other pairs by the values, or `None` if names or values disagree."""
    used = {path for spec in mapping.fields.values() for path in paths_of(spec)}
    named = {
        role: [one for one in fields if one.name and one.name.role == role and not one.name.is_earlier]
        for role in ("request", "answer")
    }
    ranked = sorted(rank_exchanges(fields, by_names=False), key=lambda pair: -pair.by_values)
    if not ranked or any(len(found) != 1 for found in named.values()):
        return None
    best = ranked[0]
    if (best.request.path, best.answer.path) != (named["request"][0].path, named["answer"][0].path):
        return None
    if not used.issuperset((best.request.path, best.answer.path)) or best.by_values < MIN_VALUES:
        return None
    lead = best.by_values - ranked[1].by_values if len(ranked) > 1 else best.by_values
    return lead if lead >= MIN_LEAD else None


def _confidence(suggestion: Suggestion, lead: float | None, different: int) -> float:
    evidence = 0.4 if lead is None else min(1.0, 0.7 + lead / 10)
    return round(evidence * suggestion.fit / suggestion.tried * different / (different + 1), 2)


def _sample(source: Source) -> Iterator[object]:
    """Yield the records of unknown layout at the beginning of some files of a source."""
    for file in source.files()[:_FILES]:
        with open(file.path, "rb") as stream:
            blocks = read_blocks(stream, file.name, lambda member, file=file.name: source.wants(file, member))
            records = (record for block in blocks for record in block.records())
            for record in islice(records, _RECORDS):
                if not record.error and is_unknown(parse(record.value)):
                    yield record.value


def is_unknown(outcomes: Sequence[Parsed | Rejected]) -> bool:
    """Return whether no layout reads the record with these outcomes."""
    return isinstance(outcomes[0], Rejected) and outcomes[0].reason == UNKNOWN_LAYOUT


def make_reader(
    mapping: FieldMapping, layout: str | None, guess: Guess | None, from_one: Set[str] = frozenset()
) -> ReadNamed:
    """Return a function that reads a record as `parse_named` does, and by the guess if no layout reads it.

    Args:
        mapping: Applied before `layout` is tried.
        layout: Name of the only layout to try. Default: all layouts.
        from_one: Keys whose numbers of right options count from 1 (`find_numbers_from_one`).
    """
    guessed = GuessReader(guess) if guess else None

    def read(record: object) -> tuple[str | None, list[Parsed | Rejected]]:
        if from_one:
            record = count_from_zero(record, from_one)
        name, outcomes = parse_named(mapping(record), layout)
        if name is None and guessed and is_unknown(outcomes) and (rows := guessed.read(record)):
            return NAME, [*rows]
        return name, outcomes

    return read
