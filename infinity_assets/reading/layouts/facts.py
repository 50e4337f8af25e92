"""Facts that a record states about its conversation: labels, reasoning, a verdict on the answer, and media."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from infinity_assets.reading.layouts.values import first_of, is_missing
from infinity_assets.reading.names import NAMES, plain_key

LABELS = frozenset(NAMES["labels"])
"""Keys of facts about a conversation. Texts, numbers and booleans are kept as annotations in every layout."""

REASONING = NAMES["reasoning"]
"""Keys of the reasoning behind an answer, kept as annotation `reasoning`."""

MEDIA = frozenset(NAMES["media"])
"""Keys of images, sounds and videos, without which the conversation cannot be understood."""

TRUTHS = frozenset(NAMES["truths"])
"""Keys of a boolean that says whether the answer is right. It may be written as a word or, with `is_`, as 0 or 1."""

JUDGEMENTS = frozenset(NAMES["judgements"])
"""Keys of a word for whether the answer is right."""

VOTES = frozenset(NAMES["votes"])
"""Keys of a number of votes, which is negative if most readers reject the answer."""

FAULTS = frozenset(NAMES["faults"])
"""Keys of a boolean that says whether the answer is wrong."""

JUDGED = TRUTHS | JUDGEMENTS | VOTES | FAULTS
"""Keys of a verdict on the answer."""

_NESTED = frozenset(NAMES["nested_facts"])
_INTEGER = re.compile(r"-?\d{1,9}")

_WORDS = {word: verdict for verdict in ("right", "wrong") for word in NAMES[f"{verdict}_words"]}
_BOOLEANS = {"true": "right", "yes": "right", "1": "right", "false": "wrong", "no": "wrong", "0": "wrong"}


class FactKeys(NamedTuple):
    """The keys of facts among the keys of a record, with their plain names."""

    labels: dict[object, str]
    verdicts: dict[object, str]
    media: tuple[object, ...]


def find_fact_keys(names: Mapping[object, str]) -> FactKeys | None:
    """Return the keys of facts, given the plain name (`plain_key`) of each key; `None` if there are none."""
    keys = FactKeys(
        {key: name for key, name in names.items() if name in LABELS or name in REASONING},
        {key: name for key, name in names.items() if name in JUDGED or name in _NESTED},
        tuple(key for key, name in names.items() if name in MEDIA),
    )
    return keys if any(keys) else None


def collect_facts(record: dict, keys: FactKeys, answers: frozenset[str]) -> dict[str, object]:
    """Return the annotations of a record: its labels, `reasoning`, and the `verdict` on the answer, right or wrong.

    Args:
        answers: Names of keys that hold the answer, and are therefore no facts.
    """
    facts = {
        name: record[key]
        for key, name in keys.labels.items()
        if name not in answers and isinstance(record[key], str | int | float)
    }
    thought = first_of(facts, REASONING)
    for name in REASONING:
        facts.pop(name, None)
    if thought is not None:
        facts["reasoning"] = thought
    verdicts: list[str | None] = []
    for key, name in keys.verdicts.items():
        value = record[key]
        if isinstance(value, dict) and name in _NESTED:
            inner = {plain_key(inner_key): inner_value for inner_key, inner_value in value.items()}
            verdicts += [
                judge(inner_name, inner_value) for inner_name, inner_value in inner.items() if inner_name in JUDGED
            ]
        elif name in JUDGED and name not in answers:
            is_truth = name == "label" and type(value) is int and value in (0, 1) and _is_judged(record)
            verdicts.append(judge(name, bool(value) if is_truth else value))
    if verdict := "wrong" if "wrong" in verdicts else "right" if "right" in verdicts else None:
        facts["verdict"] = verdict
    return facts


def _is_judged(record: dict) -> bool:
    """Return whether a label of 0 or 1 is a verdict: in KTO's records of a completion, and in MultiRC's of an answer."""
    index = record.get("idx")
    return "completion" in record or (isinstance(index, dict) and "answer" in index)


def judge(name: str, value: object) -> str | None:
    """Return what a value under a key (its plain name) says of the answer: `right`, `wrong`, or `None` for nothing."""
    if name in FAULTS:
        return {"true": "wrong", "1": "wrong"}.get(str(value).strip().lower())
    if isinstance(value, str) and name in VOTES and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool):
        return _BOOLEANS[str(value).lower()] if name in TRUTHS or name == "label" else None
    if isinstance(value, int | float):
        if name in VOTES:
            return "wrong" if value < 0 and (isinstance(value, int) or name != "score") else None
        return _BOOLEANS.get(f"{value:g}") if name in TRUTHS and name.startswith(("is_", "kto")) else None
    if not isinstance(value, str) or len(value) > 20:
        return None
    word = value.strip().lower().replace(" ", "_")
    if name in TRUTHS and word in _BOOLEANS and (name != "correct" or word not in "01"):
        return _BOOLEANS[word]
    if name == "label" and word in ("true", "false"):
        return _BOOLEANS[word]
    return _WORDS.get(word) if name in JUDGEMENTS else None


def find_media(record: dict, keys: FactKeys) -> object | None:
    """Return the first key under which a record has an image, a sound or a video, or `None`."""
    return next((key for key in keys.media if not _is_absent(record[key])), None)


def _is_absent(value: object) -> bool:
    """Return whether a value, or each value inside it, is missing, as in `{"bytes": null, "path": null}`."""
    if isinstance(value, dict | list):
        return all(map(_is_absent, value.values() if isinstance(value, dict) else value))
    return is_missing(value)
