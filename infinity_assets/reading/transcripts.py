"""Dialogues written as one text, with a mark before each turn.

Strict: a text is a transcript if it begins with a user's or a system's mark, an assistant's mark follows, and all marks are of one family.
Marks that are words (`Human:`, `问：`) count at the beginning of a line only; those no prose contains (`### Human:`, `<|user|>`) anywhere.
"""

import re
from typing import NamedTuple

from infinity_assets.rows.grammar import ROLES

Turn = tuple[str, str]
"""Role and text."""


class Family(NamedTuple):
    """Marks that occur together."""

    opens: re.Pattern[str]
    """Matches at the beginning of a transcript."""
    mark: re.Pattern[str]
    """Any mark; its first group is the speaker."""


def _words(users: str, assistants: str) -> Family:
    """Marks that are words before a colon. A single letter counts in upper case only."""
    names = [
        re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
        for name in (*users.split("|"), "system", "系统")
    ]
    answers = [re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})" for name in assistants.split("|")]
    opens = re.compile(rf"\s*(?:{'|'.join(names)})[ \t]*[:：]")
    return Family(opens, re.compile(rf"^[ \t]*({'|'.join(names + answers)})[ \t]*[:：][ \t]*", re.MULTILINE))


PREAMBLE = r"\s*(?:Below is an? instruction|A chat between|The following is a conversation|以下是|下面是)"
"""What may stand before the first mark where the marks are no words: the system prompts of Alpaca and Vicuna."""

_NAMES = "Instruction|Input|Response|Human|Assistant|User|System|Question|Answer|Prompt|Output|指令|输入|问题|用户|助手|回答|输出"
_HASH = rf"#{{2,3}}[ ]?({_NAMES})[ ]?[:：]"
_BAR = r"<\|(system|user|assistant|human|prompter|bot|moss)\|>:?"

FAMILIES = (
    Family(re.compile(r"\s*<\|im_start\|>"), re.compile(r"<\|im_start\|>\s*(\w+)[ \t]*\n?")),
    Family(
        re.compile(r"\s*(?:<\|begin_of_text\|>)?<\|start_header_id\|>"),
        re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>"),
    ),
    Family(re.compile(rf"\s*{_BAR}", re.IGNORECASE), re.compile(_BAR, re.IGNORECASE)),
    Family(re.compile(rf"\s*{_HASH}|{PREAMBLE}", re.IGNORECASE), re.compile(_HASH, re.IGNORECASE)),
    Family(
        re.compile(rf"\s*(?:USER|SYSTEM):|{PREAMBLE}"), re.compile(r"\b(USER|ASSISTANT|SYSTEM|FUNCTION RESPONSE):[ ]?")
    ),
    _words("human|user|usr", "assistant|ai assistant|ai|bot|chatbot|gpt|chatgpt|model|claude"),
    _words("Q|question", "A|answer"),
    _words("instruction|prompt", "response|output|completion|answer"),
    _words("customer|client|patient|student", "agent|counselor|counsellor|therapist|doctor|teacher|tutor"),
    _words("用户|人类|问|问题|患者|学生|客户|来访者", "助手|答|回答|答案|医生|老师|客服|咨询师|机器人"),
)
"""The marks in use, tried in order."""

_OTHER_NAMES = {
    **dict.fromkeys(("usr", "input", "prompt", "指令", "输入", "问题", "人类", "学生", "客户", "来访者"), "user"),
    **dict.fromkeys(
        ("ai assistant", "output", "completion", "输出", "回答", "答案", "老师", "客服", "咨询师", "机器人"),
        "assistant",
    ),
    "function response": "tool",
}
"""Speakers that are no roles elsewhere."""

_ENDS = re.compile(
    r"(?:\s*(?:</s>|<s>|<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<\|endoftext\|>|<\|end_of_text\|>|<eo[a-z]>))+\s*$"
)
_DANGLING = re.compile(r"(?:assistant|ai|bot|gpt|助手)[ \t]*[:：]\s*$", re.IGNORECASE)
_INST = re.compile(r"\[(/?)INST\]")
_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_RULES = re.compile(r"^\s*(?:-{3,}|={3,}|\*{3,})\s*$", re.MULTILINE)


def turns_of(text: str) -> list[Turn] | None:
    """The turns of a transcript, white space around them left; null if the text is none."""
    if text.lstrip().startswith(("[INST]", "<s>[INST]", "<s> [INST]")):
        return _inst(text)
    for family in FAMILIES:
        if family.opens.match(text) and (turns := _read(text, family)):
            return turns
    return None


def unanswered(text: str) -> list[Turn] | None:
    """The turns of a transcript that ends in an assistant's mark with nothing after it, without that turn; null for any other text."""
    turns = turns_of(text) if text.rstrip().endswith((":", "：")) and _DANGLING.search(text[-40:]) else None
    return turns[:-1] if turns and len(turns) > 1 and turns[-1] == ("assistant", "") else None


def is_transcript(text: str) -> bool:
    """Whether it is one dialogue with speaker marks."""
    return turns_of(text) is not None


def split(text: str) -> list[str]:
    """The dialogues of a text file; none unless all of it is dialogues.

    They are separated by lines of `---` (or `===`, `***`), or by blank lines where each block between them is a dialogue of its own;
    otherwise blank lines belong to the dialogue.
    """
    text = text.replace("\r\n", "\n")
    parts = [part.strip("\n") for part in _RULES.split(text) if part.strip()]
    if not parts or not all(map(is_transcript, parts)):
        return []
    if len(parts) > 1:
        return parts
    dialogues: list[str] = []
    for block in filter(None, _BLANK_LINES.split(parts[0])):
        if is_transcript(block):
            dialogues.append(block)
        elif dialogues and not any(family.mark.match(block) for family in FAMILIES):
            dialogues[-1] += f"\n\n{block}"
        else:  # a turn that stands alone: the blank lines are inside a dialogue
            return parts
    return dialogues


def _read(text: str, family: Family) -> list[Turn] | None:
    marks = list(family.mark.finditer(text))
    if not marks:
        return None
    turns: list[Turn] = []
    if preamble := text[: marks[0].start()].replace("<|begin_of_text|>", "").strip():
        turns.append(("system", preamble))
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        name = mark[1].lower()
        role = _OTHER_NAMES.get(name) or ROLES.get(name)
        said = _ENDS.sub("", text[mark.end() : after.start() if after else len(text)]).strip()
        if role == "tool":
            role, said = "user", f"<tool_response>\n{said}\n</tool_response>"
        if role is None:
            return None
        if name in ("input", "输入") and turns and turns[-1][0] == "user":
            turns[-1] = ("user", "\n\n".join(filter(None, (turns[-1][1], said))))
        else:
            turns.append((role, said))
    roles = [role for role, _ in turns]
    return (
        turns
        if "assistant" in roles and roles[0] != "assistant" and "user" in roles[: roles.index("assistant")]
        else None
    )


def _inst(text: str) -> list[Turn] | None:
    """Llama 2's form: `[INST] <<SYS>> system <</SYS>> request [/INST] answer`."""
    pieces = _INST.split(text)  # text, then a slash or nothing and a text for each mark
    turns: list[Turn] = []
    for index, (slash, piece) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True)):
        if bool(slash) != bool(index % 2):
            return None
        said = _ENDS.sub("", piece).strip()
        if index == 0 and (system := _SYSTEM.match(said)):
            turns.append(("system", system[1].strip()))
            said = said[system.end() :].strip()
        turns.append(("assistant" if slash else "user", said))
    return turns if any(role == "assistant" for role, _ in turns) else None
