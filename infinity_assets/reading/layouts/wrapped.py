"""Layouts around a conversation: logs of calls, exports of chat programs, records one level deeper."""

from collections.abc import Iterator, Sequence

from infinity_assets.reading import transcripts
from infinity_assets.reading.layouts.layout import UNREAD_CONTEXT, Draft, is_running, layout, read_inner
from infinity_assets.reading.layouts.turns import add_system, is_turn, record_turns, turns_of
from infinity_assets.reading.layouts.values import ASKED, SYSTEMS, Turn, first_of, list_of, load_json, text_of
from infinity_assets.reading.names import plain_key, read_name
from infinity_assets.rows.grammar import ROLES, Rejected

REQUESTS = ("request", "body", "params", "input", "req", "kwargs", "request_body", "inputs")
"""Keys of what was sent to a model."""

RESPONSES = ("response", "output", "res", "result", "response_body", "outputs", "completion")
"""Keys of what a model sent back."""

TRUNCATED = ("length", "max_tokens", "max_output_tokens", "model_length", "MAX_TOKENS")
"""Reasons for which a model's answer ends early."""


@layout("call_log", REQUESTS)
def call_log(record: dict) -> Sequence[Draft | Rejected] | None:
    """Read the body of a request to a model, and the response (OpenAI, Anthropic, Gemini, Langfuse, LangSmith).

    An answer that was cut at a limit is refused as `truncated_answer`. Further choices are kept as `other_answers`.
    """
    request = load_json(first_of(record, REQUESTS))
    if not isinstance(request, dict):
        return None
    turns: list[Turn] | None = record_turns(
        {plain_key(key): value for key, value in request.items()}, "messages", "contents", "input"
    )
    prompt = first_of(request, ("prompt", "input"))
    if turns is None and isinstance(prompt, str):
        turns = add_system({"system": first_of(request, ("instructions", *SYSTEMS))}, [("user", prompt)])
    response = load_json(first_of(record, RESPONSES))
    if not turns:  # LangSmith's examples
        return read_inner({**request, **response}) if isinstance(response, dict) else None
    if response is None:
        return [Draft(turns)]
    choices = [*_choices(response)]
    if not choices:
        return None
    answer, reason = choices[0]
    if reason in TRUNCATED:
        return [Rejected("truncated_answer", str(reason))]
    others = [turn[0][1] for turn, _ in choices[1:]]
    return [Draft([*turns, *answer], {"other_answers": others} if others else None)]


def _choices(response: object) -> Iterator[tuple[list[Turn], object]]:
    """Yield the turns of each of a model's answers, and the reason why the answer ended."""
    if isinstance(response, str):
        yield [("assistant", response)], None
    if list_of(response, dict) and all(map(is_turn, response)):
        yield turns_of(response) or [], None
    if not isinstance(response, dict):
        return
    if isinstance(body := response.get("body"), dict):
        response = body
    if isinstance(details := response.get("incomplete_details"), dict):  # OpenAI's responses
        response = {**response, "finish_reason": details.get("reason")}
    listed = first_of(response, ("choices", "candidates"))
    for choice in listed if list_of(listed, dict) else [response]:
        message = first_of(choice, ("message", "content", "output", "text"))
        ended = {**message, **choice} if isinstance(message, dict) else choice
        reason = first_of(ended, ("finish_reason", "stop_reason", "finishReason"))
        if isinstance(message, list):
            message = next((item for item in message if isinstance(item, dict) and is_turn(item)), message)
        answer = message if isinstance(message, dict) else {"content": message}
        if message is not None:
            yield turns_of([{"role": "assistant", **answer}]) or [], reason


@layout("message_graph", ("mapping",))
def message_graph(record: dict) -> list[Draft] | None:
    """Read ChatGPT's export: messages by id under `mapping`, on the path from the root to `current_node`."""
    nodes = record["mapping"]
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        return None
    leaves = [name for name, node in nodes.items() if not node.get("children")]
    name = record.get("current_node") or (leaves[-1] if leaves else None)
    path: dict[object, dict] = {}
    while name in nodes and name not in path:
        path[name] = nodes[name]
        name = nodes[name].get("parent")
    messages = [node["message"] for node in reversed(path.values()) if isinstance(node.get("message"), dict)]
    turns = turns_of(messages)
    return [Draft(turns)] if turns else None


@layout("segments", ("segments",))
def segments(record: dict) -> list[Draft] | None:
    """Read axolotl's `segments`: texts with a `label`, which is true for those of the assistant."""
    parts = record["segments"]
    if not list_of(parts, dict) or not all(isinstance(part.get("label"), bool) for part in parts):
        return None
    turns: list[Turn] = []
    for part in parts:
        text = text_of(part.get("text")) or ""
        turns.append(("assistant" if part["label"] else "user", text.replace("<s>", "").replace("</s>", "")))
    return [Draft(turns)]


@layout("wrapped", asks=lambda keys: True)
def wrapped(record: dict) -> Sequence[Draft | Rejected] | None:
    """Read a conversation that is one level deeper or under any key, if there is only one and it ends with an answer.

    It may be a text in a chat template.
    """
    found = [(key, drafts) for key, value in record.items() if (drafts := _read_value(record, value))]
    if len(found) != 1 or not all(map(_is_answered, found[0][1])):
        return None
    key, drafts = found[0]
    about = _find_context(record, key)
    return drafts if about is None else [Rejected(UNREAD_CONTEXT, f"the question may be about `{about}`")] * len(drafts)


def _find_context(record: dict, key: str) -> str | None:
    """Return the key of running text, or of a table, that a question under another key may be about."""
    inner = load_json(record[key])
    if not isinstance(inner, dict) or set(ASKED).isdisjoint(map(plain_key, inner)):
        return None
    for name, value in record.items():
        text = " ".join(value) if list_of(value, str) else value
        is_about = (isinstance(text, str) and is_running(text)) or list_of(value, list)
        if is_about and ((role := read_name(name)) is None or role.role == "context"):
            return name
    return None


def _read_value(record: dict, value: object) -> Sequence[Draft | Rejected] | None:
    if isinstance(value, str):
        if transcripts.is_template(value) and (turns := transcripts.turns_of(value)):
            return [Draft(add_system(record, [*turns]))]
        value = load_json(value)
    if list_of(value, dict) and all(map(is_turn, value)):
        turns = turns_of(value)
        return [Draft(add_system(record, turns))] if turns else None
    return read_inner(value) if isinstance(value, dict) else None


def _is_answered(draft: Draft | Rejected) -> bool:
    if isinstance(draft, Rejected):
        return True
    return bool(draft.turns[-1][1]) and ROLES.get(str(draft.turns[-1][0]).strip().lower()) == "assistant"
