"""Tool use in the three roles of our grammar, in the convention of Hermes and Qwen.

A call is `<tool_call>`, a line of JSON and `</tool_call>` in the assistant's turn; a result is `<tool_response>` to `</tool_response>` in
a user turn, several results in one turn; the definitions stand in `<tools>` at the end of the system turn, one a line; reasoning stands in
`<think>` at the beginning of the assistant's turn. Calls are copied as the dataset writes them. None of this is a repair.
"""

from infinity_assets.reading.layouts.values import as_json, first_of, loaded
from infinity_assets.rows.grammar import ROLES

CALLING = frozenset(("function_call", "tool_call", "tool_calls"))
"""Roles of a turn that is a call."""

RETURNING = frozenset(
    ("tool", "function", "observation", "tool_response", "tool_result", "function_response", "tool_output", "ipython")
)
"""Roles of a turn that is a result."""

EXTRAS = frozenset(("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking"))
"""Keys of a turn beside its content."""

DEFINITIONS = ("tools", "functions")
"""Keys of a record that hold the definitions."""


def spoken(name: object, content: object, turn: dict) -> tuple[object, str | None]:
    """A turn of any role and content: (role, text), the text null where part of it is none."""
    role = name.strip().lower() if isinstance(name, str) else name
    if role in CALLING:
        return "assistant", _marked("tool_call", _calls(content))
    if role in RETURNING:
        if isinstance(content, str) and content.lstrip().startswith("<tool_response>"):
            return "user", content.strip()
        return "user", _marked("tool_response", [_result(content)])
    texts = [_part(part) for part in content] if isinstance(content, list) else [_plain(content)]
    if not EXTRAS.isdisjoint(turn):
        thought = first_of(turn, ("reasoning_content", "reasoning", "thinking"))
        if thought is not None:
            texts.insert(0, _think(thought))
        calls = _calls(first_of(turn, ("tool_calls", "function_call")))
        texts += [_marked("tool_call", calls)] if calls else []
    return name, None if None in texts else "\n".join(text for text in texts if text)


def with_joined_calls(turns: list[tuple[object, str | None]]) -> list[tuple[object, str | None]]:
    """The turns, with a call joined to the assistant's words beside it, and results that follow each other in one turn."""
    found: list[tuple[object, str | None]] = []
    for name, content in turns:
        speaker, said = found[-1] if found else (None, None)
        if (
            content
            and said
            and _side(speaker) == _side(name)
            and (content.startswith("<tool_") or said.rstrip().endswith("</tool_call>"))
        ):
            found[-1] = (speaker, f"{said.rstrip()}\n{content}")
        else:
            found.append((name, content))
    return found


def definitions(record: dict) -> str | None:
    """The tool definitions of a record, for its system turn; empty if it has none, null if they are no text."""
    tools = loaded(first_of(record, DEFINITIONS))
    lines = [as_json(tool) for tool in (tools if isinstance(tools, list) else [tools]) if tool]
    if None in lines:
        return None
    return "\n".join(("<tools>", *filter(None, lines), "</tools>")) if any(lines) else ""


def _side(name: object) -> str | None:
    return ROLES.get(name.strip().lower()) if isinstance(name, str) else None


def _marked(mark: str, texts: list[str | None]) -> str | None:
    return None if None in texts else "\n".join(f"<{mark}>\n{text}\n</{mark}>" for text in texts)


def _calls(content: object) -> list[str | None]:
    """The calls that a value holds, each as a line of JSON of name and arguments."""
    value = loaded(content)
    if isinstance(value, str):  # no JSON: as it is
        return [value.strip()] if value.strip() else []
    calls = value if isinstance(value, list) else [value] if value else []
    if calls == [value] and isinstance(content, str):
        return [content.strip()]
    return [_call(call) for call in calls]


def _call(call: object) -> str | None:
    """One call, OpenAI's wrapping taken off."""
    inner = call.get("function", call) if isinstance(call, dict) else call
    if isinstance(inner, dict) and "name" in inner:
        return as_json(
            {"name": inner["name"], "arguments": loaded(first_of(inner, ("arguments", "parameters", "input")) or {})}
        )
    return as_json(inner)


def _result(content: object) -> str | None:
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        parts = [_part(part) for part in content]
        return None if None in parts else "\n".join(part for part in parts if part)
    return as_json(content) if content is not None else ""


def _part(part: object) -> str | None:
    """The text of one part of a typed content; null for an image, a sound, a file."""
    if not isinstance(part, dict):
        return _plain(part)
    value = first_of(part, ("text", "value", "content"))
    match part.get("type", "text"):
        case "text" | "input_text" | "output_text":
            return _plain(value)
        case "reasoning" | "thinking":
            return _think(first_of(part, ("value", "text", "reasoning", "thinking")))
        case "tool_call" | "tool_use" | "function_call":
            return _marked("tool_call", _calls(part if value is None else value))
        case "tool_result" | "tool_response":
            return _marked("tool_response", [_result(value)])
    return None


def _think(thought: object) -> str | None:
    return f"<think>\n{thought.strip()}\n</think>\n" if isinstance(thought, str) else None


def _plain(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or value == []:
        return ""
    return str(value) if isinstance(value, int | float) else None
