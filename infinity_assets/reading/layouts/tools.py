"""Tool use in the three roles of the grammar, by the convention of Hermes and Qwen.

A call is a line of JSON between `<tool_call>` and `</tool_call>` in the assistant's turn. A result stands between
`<tool_response>` and `</tool_response>` in a user turn, which can hold several. The definitions are in `<tools>` at the
end of the system turn, one per line. Reasoning is in `<think>` at the beginning of the assistant's turn. Calls are not
checked against the definitions. This conversion does not count as a repair.
"""

import re

from infinity_assets.reading.layouts.values import as_json, first_of, load_json, text_of
from infinity_assets.reading.names import plain_key
from infinity_assets.rows.grammar import ROLES, Masked

CALLING = frozenset(("function_call", "tool_call", "tool_calls"))
"""Role names of turns that are tool calls."""

RETURNING = frozenset(
    (
        "tool",
        "function",
        "observation",
        "tool_response",
        "tool_result",
        "function_response",
        "tool_output",
        "ipython",
        "environment",
        "toolmessage",
    )
)
"""Role names of turns that are results of tools."""

EXTRAS = frozenset(("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking"))
"""Keys of tool use and reasoning in a turn beside its content."""

_ARGUMENTS = ("arguments", "parameters", "input", "args")
"""Keys of the arguments of a call."""

_CALL = re.compile(r'(<tool_call>\s*)(\{(?:(?!</?tool_call>).)*?"arguments":\s*".*?\})(\s*</tool_call>)', re.DOTALL)
"""Matches a call in a text whose arguments are a string."""

DEFINITIONS = ("tools", "functions", "function", "available_tools", "tool_definitions")
"""Keys of a record that hold the definitions of tools; `function` may also be code."""


def render_turn(name: object, content: object, turn: dict) -> tuple[object, str | None]:
    """Return the role and the text of any turn; the text is `None` if a part is not text."""
    role = name.strip().lower() if isinstance(name, str) else name
    if role in CALLING:
        return "assistant", _wrap("tool_call", _render_calls(content))
    if role in RETURNING:
        if isinstance(content, str) and content.lstrip().startswith("<tool_response>"):
            return "user", content.strip()
        return "user", _wrap("tool_response", [_render_result(content)])
    texts = [render_content(content)]
    if not EXTRAS.isdisjoint(turn):
        thought = first_of(turn, ("reasoning_content", "reasoning", "thinking"))
        if thought is not None:
            texts.insert(0, _wrap_thought(thought))
        calls = _render_calls(first_of(turn, ("tool_calls", "function_call")))
        texts += [_wrap("tool_call", calls)] if calls else []
    return name, None if None in texts else "\n".join(text for text in texts if text)


def render_content(content: object) -> str | None:
    """Return the text of a content (a text, or typed parts), or `None` if a part is not text."""
    if isinstance(content, dict):
        if content.get("content_type", "text") != "text":
            return None
        inner = first_of(content, ("parts", "text", "value", "content"))
        content = inner if isinstance(inner, list) else [content]
    if not isinstance(content, list):
        return _plain_text(content)
    texts = [_render_part(part) for part in content]
    return None if None in texts else "\n".join(text for text in texts if text)


def join_calls(turns: list[tuple[object, str | None]]) -> list[tuple[object, str | None]]:
    """Merge calls and the adjacent text of the assistant into one turn, and consecutive results likewise."""
    merged: list[tuple[object, str | None]] = []
    for name, content in turns:
        speaker, previous = merged[-1] if merged else (None, None)
        if (
            content
            and previous
            and _role_of(speaker) == _role_of(name)
            and (content.startswith("<tool_") or previous.rstrip().endswith("</tool_call>"))
        ):
            whole = f"{previous.rstrip()}\n{content}"
            is_masked = isinstance(previous, Masked) or isinstance(content, Masked)
            merged[-1] = (speaker, Masked(whole) if is_masked else whole)
        else:
            merged.append((name, content))
    return merged


def render_definitions(record: dict) -> str | None:
    """Return the tool definitions for the system turn; empty if there are none, `None` if they are not text."""
    tools = load_json(load_json(first_of(record, DEFINITIONS), '[{"'))
    if isinstance(tools, str) and "function" in record:
        return ""
    lines = [as_json(tool) for tool in (tools if isinstance(tools, list) else [tools]) if tool]
    if None in lines:
        return None
    return "\n".join(("<tools>", *filter(None, lines), "</tools>")) if any(lines) else ""


def decode_arguments(text: str) -> str:
    """Return a text in which the calls between `<tool_call>` and `</tool_call>` have objects as arguments, not JSON."""
    return _CALL.sub(lambda call: call[1] + (_render_calls(call[2])[0] or call[2]) + call[3], text)


def _role_of(name: object) -> str | None:
    return ROLES.get(name.strip().lower()) if isinstance(name, str) else None


def _wrap(mark: str, texts: list[str | None]) -> str | None:
    return None if None in texts else "\n".join(f"<{mark}>\n{text}\n</{mark}>" for text in texts)


def _render_calls(content: object) -> list[str | None]:
    """Return the calls in a value, each as a line of JSON with name and arguments."""
    value = _decode(content)
    if isinstance(value, str):  # not JSON
        return [value.strip()] if value.strip() else []
    calls = value if isinstance(value, list) else [value] if value else []
    if calls == [value] and isinstance(content, str) and content.lstrip()[:1] == "{" and _is_rendered(value):
        return [content.strip()]
    return [_render_call(call) for call in calls]


def _is_rendered(call: object) -> bool:
    """Return whether a call needs no rendering: it has its arguments, if any, as an object of that name."""
    if not isinstance(call, dict) or isinstance(call.get("function"), dict):
        return False
    arguments = first_of(call, _ARGUMENTS)
    return arguments is None or ("arguments" in call and not isinstance(arguments, str))


def _render_call(call: object) -> str | None:
    """Return one call as JSON, without the `function` object that OpenAI wraps around it."""
    inner = call.get("function", call) if isinstance(call, dict) else call
    if isinstance(inner, dict) and "name" in inner:
        return as_json({"name": inner["name"], "arguments": _decode(first_of(inner, _ARGUMENTS) or {})})
    return as_json(inner)


def _decode(value: object) -> object:
    """Parse a list or an object that is encoded as JSON, however often. Any other value is returned unchanged."""
    decoded = load_json(value)
    while isinstance(decoded, str) and decoded.lstrip()[:1] == '"':
        inner = load_json(load_json(decoded, '"'))
        if inner == decoded:
            break
        decoded = inner
    return value if isinstance(decoded, str) else decoded


def _render_result(content: object) -> str | None:
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        parts = [_render_part(part) for part in content]
        return None if None in parts else "\n".join(part for part in parts if part)
    return as_json(content) if content is not None else ""


def _render_part(part: object) -> str | None:
    """Return the text of a part of typed content, or `None` for an image, a sound or a file."""
    if not isinstance(part, dict):
        return _plain_text(part)
    value = first_of(part, ("text", "value", "content"))
    if value is None and "type" not in part:  # Gemini's parts are named by their keys
        part = {plain_key(key): inner for key, inner in part.items()}
        if call := first_of(part, ("functioncall", "function_call")):
            return _wrap("tool_call", _render_calls(call))
        result = first_of(part, ("functionresponse", "function_response"))
        if isinstance(result, dict):
            return _wrap("tool_response", [_render_result(result.get("response"))])
        return "" if part.keys() <= {"text"} else None
    match part.get("type", "text"):
        case "text" | "input_text" | "output_text":
            return _plain_text(value)
        case "step-start" | "step-finish":  # Vercel's AI SDK
            return ""
        case "reasoning" | "thinking":
            return _wrap_thought(first_of(part, ("value", "text", "reasoning", "thinking")))
        case "tool_call" | "tool_use" | "function_call":
            return _wrap("tool_call", _render_calls(part if value is None else value))
        case "tool_result" | "tool_response":
            return _wrap("tool_response", [_render_result(value)])
    return None


def _wrap_thought(thought: object) -> str | None:
    return f"<think>\n{thought.strip()}\n</think>\n" if isinstance(thought, str) else None


def _plain_text(value: object) -> str | None:
    return None if isinstance(value, list) and value else text_of(value)
