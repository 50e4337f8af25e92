"""Parsing of transcripts: dialogues in one text, with a mark of the speaker before each turn.

A text is a transcript only if it begins with a mark of the user or the system, a mark of the assistant follows, and all
marks belong to one family. Marks that are words (`Human:`, `问：`) count only at the beginning of a line; marks that
never occur in prose (`### Human:`, `<|user|>`) count anywhere.
"""

import re
from typing import NamedTuple

from infinity_assets.rows.grammar import ROLES

Turn = tuple[str, str]
"""Role and text."""


class Family(NamedTuple):
    """Speaker marks that occur together in a transcript."""

    opens: re.Pattern[str]
    """Matches at the beginning of a transcript."""
    mark: re.Pattern[str]
    """Matches any mark. Its first group is the speaker."""


def _words(users: str, assistants: str) -> Family:
    """Return a family of marks that are words before a colon. A single letter counts in upper case only."""
    names = [
        re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
        for name in (*users.split("|"), "system", "系统")
    ]
    answers = [re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})" for name in assistants.split("|")]
    opens = re.compile(rf"\s*(?:{'|'.join(names)})[ \t]*[:：]")
    return Family(opens, re.compile(rf"^[ \t]*({'|'.join(names + answers)})[ \t]*[:：][ \t]*", re.MULTILINE))


PREAMBLE = r"\s*(?:Below is an? instruction|A chat between|The following is a conversation|以下是|下面是)"
"""Matches system prompts like Alpaca's and Vicuna's, which may precede the first mark of some families."""

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
"""Known families of marks, in the order of trial."""

_OTHER_NAMES = {
    **dict.fromkeys(("usr", "input", "prompt", "指令", "输入", "问题", "人类", "学生", "客户", "来访者"), "user"),
    **dict.fromkeys(
        ("ai assistant", "output", "completion", "输出", "回答", "答案", "老师", "客服", "咨询师", "机器人"),
        "assistant",
    ),
    "function response": "tool",
}
"""Roles by the name of the speaker, for names that occur only in transcripts."""

_ENDS = re.compile(
    r"(?:\s*(?:</s>|<s>|<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<\|endoftext\|>|<\|end_of_text\|>|<eo[a-z]>))+\s*$"
)
_DANGLING = re.compile(r"(?:assistant|ai|bot|gpt|助手)[ \t]*[:：]\s*$", re.IGNORECASE)
_INST = re.compile(r"\[(/?)INST\]")
_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_RULES = re.compile(r"^\s*(?:-{3,}|={3,}|\*{3,})\s*$", re.MULTILINE)


def turns_of(text: str) -> list[Turn] | None:
    """Return the turns of a transcript, stripped of white space, or `None` for any other text."""
    if text.lstrip().startswith(("[INST]", "<s>[INST]", "<s> [INST]")):
        return _parse_inst(text)
    for family in FAMILIES:
        if family.opens.match(text) and (turns := _parse_marks(text, family)):
            return turns
    return None


def turns_before_answer(text: str) -> list[Turn] | None:
    """Return the turns of a transcript that ends with a mark of the assistant; `None` for any other text."""
    turns = turns_of(text) if text.rstrip().endswith((":", "：")) and _DANGLING.search(text[-40:]) else None
    return turns[:-1] if turns and len(turns) > 1 and turns[-1] == ("assistant", "") else None


def is_transcript(text: str) -> bool:
    """Return whether a text is one dialogue with speaker marks."""
    return turns_of(text) is not None


def split_dialogues(text: str) -> list[str]:
    """Return the dialogues of a text file, or [] if it holds anything else.

    Lines of `---` (or `===`, `***`) separate dialogues. So do blank lines if each block between them is a dialogue;
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
        else:  # the block is one turn, so blank lines do not separate dialogues
            return parts
    return dialogues


def _parse_marks(text: str, family: Family) -> list[Turn] | None:
    marks = list(family.mark.finditer(text))
    if not marks:
        return None
    turns: list[Turn] = []
    if preamble := text[: marks[0].start()].replace("<|begin_of_text|>", "").strip():
        turns.append(("system", preamble))
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        name = mark[1].lower()
        role = _OTHER_NAMES.get(name) or ROLES.get(name)
        text_of_turn = _ENDS.sub("", text[mark.end() : after.start() if after else len(text)]).strip()
        if role == "tool":
            role = "user"
            text_of_turn = f"<tool_response>\n{text_of_turn}\n</tool_response>"
        if role is None:
            return None
        if name in ("input", "输入") and turns and turns[-1][0] == "user":
            turns[-1] = ("user", "\n\n".join(filter(None, (turns[-1][1], text_of_turn))))
        else:
            turns.append((role, text_of_turn))
    roles = [role for role, _ in turns]
    is_dialogue = "assistant" in roles and "user" in roles[: roles.index("assistant")]
    return turns if is_dialogue and roles[0] != "assistant" else None


def _parse_inst(text: str) -> list[Turn] | None:
    """Return the turns of Llama 2's form: `[INST] <<SYS>> system <</SYS>> request [/INST] answer`."""
    pieces = _INST.split(text)  # the text before the first mark, then each mark's slash and text
    turns: list[Turn] = []
    for index, (slash, piece) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True)):
        if bool(slash) != bool(index % 2):
            return None
        text_of_turn = _ENDS.sub("", piece).strip()
        if index == 0 and (system := _SYSTEM.match(text_of_turn)):
            turns.append(("system", system[1].strip()))
            text_of_turn = text_of_turn[system.end() :].strip()
        turns.append(("assistant" if slash else "user", text_of_turn))
    return turns if any(role == "assistant" for role, _ in turns) else None
