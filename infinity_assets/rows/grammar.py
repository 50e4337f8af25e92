"""The grammar of a conversation (invariant 2): a repair for one conversation, and a check for many.

A conversation is an optional system turn, then alternating user and assistant turns. No turn is empty, and none
contains the marks of a chat template. `find_grammar_faults` finds no fault in the conversations that `repair_roles`
accepts.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from infinity_assets.rows.words import load_words

Message = dict[str, str]


class Masked(str):
    """The text of an assistant's turn that the dataset excludes from training."""

    __slots__ = ()


_WORDS = load_words(Path(__file__).with_name("grammar.yaml"))

TRANSLATED: dict[str, list[str]] = _WORDS["translated"]
"""The names of user and assistant in other languages than English and Chinese, in lower case, by role."""

ROLES: dict[str, str] = {
    name: role for roles in (_WORDS["roles"], TRANSLATED) for role, names in roles.items() for name in names
}
"""The role (system, user or assistant) by its name in datasets, in lower case."""

DEBRIS: tuple[str, ...] = tuple(_WORDS["debris"])
"""Marks of chat templates. In a text, a trainer would mistake them for those of its own template."""

_MEDIA = re.compile(
    r"^\s*(?:<(?:image|video|audio)>\s*)+(?!tags?\b|elements?\b|attributes?\b|is\b|and\b|or\b|vs\b|in\b|\S*</)"
    r"|\n\s*<(?:image|video|audio)>\s*$|<\|(?:image|video|audio|vision)\w*\|>|<(?:Image|Img)Here>|<image_placeholder>"
    r"|<image[ _]?\d+>|<img>[^<\n]+</img>|!\[[^\]\n]*\]\(data:image/|^\s*\[(?:IMG|IMAGE)\]"
)
"""Matches the place of an image, a sound or a video in a request. A question about the HTML tag has none."""

_LAST = {mark[-1] for mark in DEBRIS}

SYSTEM_OPENINGS = ("You are", "You're", "你是")
"""Beginnings of system prompts that datasets tag as assistant turns."""

SHAPES = {"conversation": "(system )?user assistant( user assistant)*", "instruction": "(system )?user", "text": "user"}
"""The sequence of roles of each kind of row, as a regular expression."""


class Repaired(NamedTuple):
    """A conversation that follows the grammar."""

    messages: list[Message]
    repair: str | None
    """Names of the repairs, joined by `+`; stripping whitespace around a turn is not a repair."""
    masked: list[int]
    """Indexes of the assistant's turns that the dataset excludes from training; never the last turn."""


class Rejected(NamedTuple):
    """A conversation that cannot be used."""

    reason: str
    """Reason code for `decisions`."""
    message: str | None = None
    """The evidence, if the reason alone is not enough."""


def repair_roles(turns: Sequence[tuple[object, str | None]]) -> Repaired | Rejected:
    """Repair a conversation, given as pairs of a dataset's role and a text (`None` if not text), or reject it.

    A single question without an answer is kept. Repairs, by their names in `decisions`: `template_debris` at the end of
    a turn is cut; `nul_characters` are removed; `system_tagged_as_assistant` is retagged; `empty_system_removed`;
    `same_role_turns_merged`, with a blank line between them; `leading_assistant_turn_cut`, a greeting that answers
    nothing; `empty_last_turn_cut`; `masked_last_turn_cut`, an answer that is not to be learned; and
    `unanswered_last_turn_cut`.
    """
    repairs: list[str] = []
    masks = False
    messages: list[Message] = []
    for name, content in turns:
        role = ROLES.get(name) or ROLES.get(name.strip().lower()) if isinstance(name, str) else None
        if role is None:
            return Rejected(
                "unknown_role", repr(name)[:200] if isinstance(name, str | int | float) else f"a {type(name).__name__}"
            )
        if content is None:
            return Rejected("non_text_content")
        text = content.strip()
        is_answer = role == "assistant"
        if text[-1:] in _LAST or (is_answer and content[:1].isspace()):
            text, debris = _strip_debris(content, indented=is_answer)
            if debris:
                repairs.append("template_debris")
        if "\0" in text:
            text, _ = _strip_debris(text.replace("\0", ""), indented=is_answer)
            repairs.append("nul_characters")
        if is_answer and isinstance(content, Masked):
            text = Masked(text)
            masks = True
        messages.append({"role": role, "content": text})

    if _is_system_prompt(messages):
        messages[0]["role"] = "system"
        repairs.append("system_tagged_as_assistant")
    roles = [message["role"] for message in messages]
    if not _alternate(roles):
        messages = _repair_order(messages, repairs)
        if not _alternate([message["role"] for message in messages]):
            return Rejected("roles_out_of_order", " ".join(roles)[:200])
    elif roles[:1] == ["system"] and not messages[0]["content"]:
        del messages[0]
        repairs.append("empty_system_removed")

    start = 1 if messages and messages[0]["role"] == "system" else 0
    while messages and not messages[-1]["content"]:
        messages.pop()
        if len(messages) > start + 1:
            repairs.append("empty_last_turn_cut")
    if len(messages) == start or not all(message["content"] for message in messages):
        return Rejected("empty_turn")
    while len(messages) > start + 1 and (messages[-1]["role"] == "user" or type(messages[-1]["content"]) is Masked):
        repairs.append("masked_last_turn_cut" if messages.pop()["role"] == "assistant" else "unanswered_last_turn_cut")
    for message in messages:
        content = message["content"]
        # Each mark contains one of these, and nearly no other text does.
        if ("<" in content and any(part in content for part in ("<|", "<｜", "_of_turn>", "SYS>>"))) or (
            "[" in content and "INST]" in content
        ):
            for mark in DEBRIS:
                if mark in content:
                    return Rejected("template_debris", mark)
        if (
            message["role"] == "user"
            and ("<" in content or "[IM" in content or "](data:" in content)
            and (place := _MEDIA.search(content))
        ):
            return Rejected("non_text_content", place[0].strip())
    masked = [index for index, message in enumerate(messages) if type(message["content"]) is Masked] if masks else []
    for index in masked:
        messages[index]["content"] = str(messages[index]["content"])
    return Repaired(messages, "+".join(dict.fromkeys(repairs)) or None, masked)


def _alternate(roles: Sequence[str]) -> bool:
    """Return whether the roles follow the grammar. An empty list does; a system turn alone does not."""
    start = 1 if roles[:1] == ["system"] else 0
    if len(roles) == start:
        return start == 0
    return "user" not in roles[start + 1 :: 2] and "assistant" not in roles[start::2] and "system" not in roles[start:]


def _repair_order(messages: list[Message], repairs: list[str]) -> list[Message]:
    """Merge adjacent turns of one role. Drop an empty system turn, and an assistant turn before the first user turn."""
    merged: list[Message] = []
    for message in messages:
        if message["role"] == "system" and not message["content"]:
            repairs.append("empty_system_removed")
        elif merged and merged[-1]["role"] == message["role"]:
            parts = (merged[-1]["content"], message["content"])
            whole = "\n\n".join(filter(None, parts))
            # A turn that is learned in part would be learned as a whole.
            merged[-1]["content"] = Masked(whole) if any(type(part) is Masked for part in parts) else whole
            repairs.append("same_role_turns_merged")
        else:
            merged.append(message)
    start = 1 if merged and merged[0]["role"] == "system" else 0
    if [message["role"] for message in merged[start : start + 2]] == ["assistant", "user"]:
        del merged[start]
        repairs.append("leading_assistant_turn_cut")
    return merged


def find_grammar_faults(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the faults of rows with `row_id`, `messages` and `kind`, one line (`row_id`, `fault`) for each.

    Faults: `roles_not_alternating`, `wrong_last_role` (for the kind), `empty_turn`, `template_debris`.
    """
    turn = pl.element().struct.field("content").fill_null("")
    rows = frame.select(
        "row_id",
        "kind",
        roles=pl.col("messages")
        .list.eval(pl.element().struct.field("role").fill_null("?"))
        .list.join(" ")
        .fill_null(""),
        empty=pl.col("messages").list.eval(turn.str.strip_chars() == "").list.any().fill_null(True),
        debris=pl.col("messages").list.eval(turn.str.contains_any(list(DEBRIS))).list.any().fill_null(False),
    )
    alternating = pl.col("roles").str.contains("^(system )?user( assistant user)*( assistant)?$")
    fits = pl.any_horizontal(
        (pl.col("kind") == kind) & pl.col("roles").str.contains(f"^({shape})$") for kind, shape in SHAPES.items()
    )
    faults = {
        "roles_not_alternating": ~alternating,
        "wrong_last_role": alternating & ~fits.fill_null(False),
        "empty_turn": pl.col("empty"),
        "template_debris": pl.col("debris"),
    }
    lines = [rows.filter(fault).select("row_id", fault=pl.lit(name)) for name, fault in faults.items()]
    return pl.concat(lines)


def _strip_debris(content: str, indented: bool = False) -> tuple[str, bool]:
    """Return the text without outer whitespace and without template marks at its end, and whether there were any marks.

    With `indented`, the first line keeps its indentation, as in continued code.
    """
    text = content.strip()
    if indented and content[:1].isspace() and text:
        lead = content[: len(content) - len(content.lstrip())]
        indentation = lead[max(lead.rfind("\n"), lead.rfind("\r")) + 1 :]
        if indentation.startswith(("  ", "\t", " \t")) and not indentation.strip(" \t"):
            text = indentation + text
    stripped = False
    while text[-1:] in _LAST and text.endswith(DEBRIS):
        mark = next(mark for mark in DEBRIS if text.endswith(mark))
        text = text.removesuffix(mark).rstrip()
        stripped = True
    return text, stripped


def _is_system_prompt(messages: list[Message]) -> bool:
    """Return whether the first turn is a system prompt tagged as assistant."""
    if len(messages) < 2 or (messages[0]["role"], messages[1]["role"]) != ("assistant", "user"):
        return False
    return messages[0]["content"].startswith(SYSTEM_OPENINGS)
