"""Whether an answer is what was asked for, whoever promised to enforce it."""

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
    finite,
)


def checked(request: Request | RewardRequest, response: Response) -> Response:
    """The response, with an error if its text is not what was asked for: `empty`, `invalid_choice`, `invalid_json`, or `truncated` where JSON
    ends at max_tokens. The text stays. A number that is none gives way to `not_finite`.
    """
    if response.error is not None or not isinstance(request, (GenerateRequest, CompleteRequest)):
        return finite(response)
    text = response.text or ""
    if not text.strip():
        return replace(response, error=EMPTY, cause="the model wrote nothing")
    if isinstance(request, CompleteRequest):
        return response
    if request.choices and text not in request.choices:
        return replace(response, error=INVALID_CHOICE, cause=f"{text[:80]!r} is none of {', '.join(request.choices)}")
    if request.schema is None:
        return response
    fault = _misfit(text, request.schema)
    if fault is None:
        return response
    if response.finish_reason == "length":
        return replace(response, error=TRUNCATED, cause=f"cut at max_tokens = {request.sampling.max_tokens}: {fault}")
    return replace(response, error=INVALID_JSON, cause=fault)


def _misfit(text: str, schema: Mapping[str, Any]) -> str | None:
    """Why a text is no JSON of that schema; null if it is."""
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
