"""Suggestions of a mapping by a language model, which are tried on the records like any other suggestion."""

import json
from collections.abc import Sequence

import orjson

from infinity_assets import prompts
from infinity_assets.errors import InfinityError
from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.reading.fields import Field, find_fields
from infinity_assets.reading.suggest import Mapping, Suggestion, try_mapping
from infinity_assets.settings import Settings
from infinity_assets.settings.models import Sampling

PROMPT = "suggest_mapping"
STAGE = "suggest"
PARTS = ("request", "answer", "context", "system")
SCHEMA = {
    "type": "object",
    "properties": {part: {"type": "string", "maxLength": 200} for part in PARTS},
    "required": list(PARTS),
    "additionalProperties": False,
}
"""Form of the model's answer: the path of each part, or an empty text."""

_FIELDS = 30
_EXAMPLES = 3
_CHARS = 120
"""Maximum numbers of fields, of examples of each, and of characters of an example that the model reads."""


def ask_mapping(inference: Inference, settings: Settings, sample: Sequence[object]) -> Suggestion | None:
    """Ask the judge which mapping suits a sample of records, and return it if it makes plausible rows of nearly all.

    Raises:
        InfinityError: The model did not answer, or cannot be reached.
    """
    records = [value for value in sample if isinstance(value, dict)]
    fields = find_fields(records)[:_FIELDS] if records else []
    if not fields:
        return None
    prompt = prompts.load(PROMPT, "en", settings.prompts_dir)
    text = "\n".join(map(_describe, fields))
    messages = tuple({"role": turn.role, "content": turn.fill({"fields": text})} for turn in prompt.turns)
    request = GenerateRequest(
        STAGE, prompt.label, prompt.hash, messages, Sampling(temperature=0.0, max_tokens=200), schema=SCHEMA
    )
    answer = inference.generate(settings.models.judge, [request], STAGE).frame.row(0, named=True)
    if answer["error"] or not answer["text"]:
        raise InfinityError(f"The model {settings.models.judge.model} gave no mapping ({answer['error'] or 'empty'}).")
    mapping = _read_mapping(orjson.loads(answer["text"]), {one.path for one in fields})
    suggestion = try_mapping(mapping, sample) if mapping else None
    return suggestion if suggestion and not suggestion.unread else None


def _describe(field: Field) -> str:
    """Return a line with the path of a field and some of its values."""
    values = (json.dumps(text[:_CHARS], ensure_ascii=False) for text in field.present[:_EXAMPLES])
    return f"{field.path}: {' | '.join(values)}"


def _read_mapping(parts: dict[str, str], known: set[str]) -> Mapping | None:
    """Return the mapping that a model's answer describes, or `None` if it names no request and answer among the fields."""
    named = {part: parts[part] for part in PARTS if parts[part] in known}
    if not named.keys() >= {"request", "answer"} or len(set(named.values())) < len(named):
        return None
    keys = {"system": "system", "request": "instruction", "context": "input", "answer": "output"}
    return Mapping("alpaca", {key: named[part] for part, key in keys.items() if part in named})
