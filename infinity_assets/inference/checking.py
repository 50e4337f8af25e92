"""Validation of answers. It does not rely on an engine or server to enforce the format."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson

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
    """Return the response, with an error added if its answer is invalid. The text is kept.

    The error is `empty`, `invalid_choice`, `invalid_json`, `truncated` (JSON that was cut at `max_tokens`), or
    `not_finite`, which also removes the score or reward.
    """
    if response.error is not None or not isinstance(request, (GenerateRequest, CompleteRequest)):
        return require_finite(response)
    text = response.text or ""
    if not text.strip():
        return replace(response, error=EMPTY, cause="the model wrote nothing")
    if isinstance(request, CompleteRequest):
        return response
    if request.choices and text not in request.choices:
        return replace(
            response, error=INVALID_CHOICE, cause=f"{text[:80]!r} is not one of {', '.join(request.choices)}"
        )
    if request.schema is None:
        return response
    fault = _find_mismatch(text, request.schema)
    if fault is None:
        return response
    if response.finish_reason == "length":
        return replace(response, error=TRUNCATED, cause=f"cut at max_tokens = {request.sampling.max_tokens}: {fault}")
    return replace(response, error=INVALID_JSON, cause=fault)


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
