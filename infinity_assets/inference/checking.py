"""Validation of answers. It does not rely on an engine or server to enforce the format."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

from infinity_assets.inference.answers import find_choice, find_json, take_apart
from infinity_assets.inference.requests import (
    EMPTY,
    INVALID_CHOICE,
    INVALID_JSON,
    TRUNCATED,
    CompleteRequest,
    GenerateRequest,
    Request,
    Response,
    RewardRequest,
    require_finite,
)


def check_response(request: Request | RewardRequest, response: Response) -> Response:
    """Return the response with thoughts split from the answer, and with an error if the answer is invalid.

    JSON and choices are taken out of fences and words around them. The error is `empty`, `invalid_choice`,
    `invalid_json`, `truncated` (JSON, or a thought, that was cut at `max_tokens`), or `not_finite`, which also removes
    the score or reward. An invalid text is kept.
    """
    if response.error is not None or not isinstance(request, (GenerateRequest, CompleteRequest)):
        return require_finite(response)
    written = response.text or ""
    is_cut = response.finish_reason == "length"
    cut = f"cut at max_tokens = {request.sampling.max_tokens}"
    if isinstance(request, GenerateRequest):
        text, thought = take_apart(written)
        if thought:
            response = replace(response, reasoning="\n\n".join(filter(None, (response.reasoning, thought))))
        response = replace(response, text=text)
    else:
        text = written
    if not text.strip():
        only = "it only thought" if response.reasoning else "the model wrote nothing"
        if is_cut:
            return replace(response, error=TRUNCATED, cause=f"{cut}: {only}")
        return replace(response, error=EMPTY, cause=only)
    if isinstance(request, CompleteRequest):
        return response
    if request.choices and text not in request.choices:
        choice = find_choice(text, request.choices)
        if choice in request.choices:
            return replace(response, text=choice)
        cause = f"{text[:80]!r} is not one of {', '.join(request.choices)}"
        return replace(response, error=INVALID_CHOICE, cause=cause)
    if request.schema is None:
        return response
    faults = []
    for part in find_json(text):
        fault = _find_mismatch(part, request.schema)
        if fault is None:
            return replace(response, text=part)
        faults.append(fault)
    if is_cut:
        return replace(response, error=TRUNCATED, cause=f"{cut}: {faults[0]}")
    return replace(response, error=INVALID_JSON, cause=faults[0])


def _find_mismatch(text: str, schema: Mapping[str, Any]) -> str | None:
    """Return the reason why a text is not JSON that fits the schema, or None if it is."""
    try:
        value = orjson.loads(text)
    except ValueError as error:
        return str(error)
    fault = next(_validator(orjson.dumps(schema)).iter_errors(value), None)
    return None if fault is None else f"{fault.json_path}: {fault.message[:200]}"


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(orjson.loads(schema))
