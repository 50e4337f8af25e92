"""Shapes of records: their keys and the types of their values."""

MAX_CHARS = 500
"""Maximum length of a shape in characters."""


def shape(value: object) -> str:
    """Return the keys of a value with the types of their values, like `{title: text, meta: {reply: list of text}}`."""
    text = _shape(value, 3)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"


def _shape(value: object, depth: int) -> str:
    if isinstance(value, dict):
        if not depth:
            return "{…}"
        return "{" + ", ".join(f"{key}: {_shape(inner, depth - 1)}" for key, inner in list(value.items())[:30]) + "}"
    if isinstance(value, list):
        return f"list of {_shape(value[0], depth - 1)}" if value and depth else "list"
    if value is None:
        return "null"
    return "text" if isinstance(value, str) else "truth value" if isinstance(value, bool) else "number"
