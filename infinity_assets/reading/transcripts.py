"""Parsing of transcripts: dialogues in one text, with a mark of the speaker before each turn.

A text is a transcript only if it begins with a mark of the user or the system, or with the greeting of an agent, a mark
of the assistant follows, and all marks belong to one family. Marks that are words (`Human:`, `问：`) count only at the
beginning of a line; marks that never occur in prose (`### Human:`, `<|user|>`) count anywhere. Speakers with unknown
names are read if each line names one of two speakers, and one of them asks.
"""

import re
from collections import Counter
from typing import NamedTuple

from infinity_assets.reading.names import NAMES
from infinity_assets.rows.grammar import ROLES, TRANSLATED

Turn = tuple[str, str]
"""Role and text."""


class Family(NamedTuple):
    """Speaker marks that occur together in a transcript."""

    opens: re.Pattern[str]
    """Matches at the beginning of a transcript."""
    mark: re.Pattern[str]
    """Matches any mark. Its first group is the speaker; a second one is the channel of harmony, OpenAI's template."""
    greets: bool = False
    """True if the assistant may speak first."""
    is_titled: bool = False
    """True if a heading may precede the first mark."""


def _words(users: str, assistants: str, greets: bool = False) -> Family:
    """Return a family of marks that are words before a colon. A single letter counts in upper case only.

    Args:
        greets: Whether the assistant may speak first.
    """
    names = [
        re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})"
        for name in (*users.split("|"), "system", "系统")
    ]
    answers = [re.escape(name) if len(name) == 1 else f"(?i:{re.escape(name)})" for name in assistants.split("|")]
    opens = re.compile(rf"\s*(?:{'|'.join(names + answers if greets else names)})[ \t]*[:：]")
    return Family(opens, re.compile(rf"^[ \t]*({'|'.join(names + answers)})[ \t]*[:：][ \t]*", re.MULTILINE), greets)


PREAMBLE = r"\s*(?:Below is an? instruction|A chat between|The following is a conversation|以下是|下面是)"
"""Matches system prompts like Alpaca's and Vicuna's, which may precede the first mark of some families."""

_NAMES = "Instruction|Input|Response|Human|Assistant|User|System|Question|Answer|Prompt|Output|指令|输入|问题|用户|助手|回答|输出"
_HASH = rf"#{{2,3}}[ ]?({_NAMES})[ ]?[:：]"
_BAR = r"<\|(system|user|assistant|human|prompter|bot|moss)\|>:?"

_TAG = r"[<\[](human|user|bot|assistant|ai|system)[>\]]:?"
_BOLD = r"\*\*(User|Human|You|Assistant|AI|Bot|ChatGPT|Claude|System)(?:\*\*[ ]?[:：]|[:：][ ]?\*\*)"

FAMILIES = (
    Family(re.compile(r"\s*<\|im_start\|>"), re.compile(r"<\|im_start\|>\s*(\w+)[ \t]*\n?")),
    Family(re.compile(r"\s*(?:<bos>)?<start_of_turn>"), re.compile(r"<start_of_turn>(\w+)[ \t]*\n?")),
    Family(
        re.compile(r"\s*<\|start\|>"),
        re.compile(r"<\|start\|>(\w+)(?:<\|channel\|>(\w+))?[^<]{0,80}(?:<\|constrain\|>\w+)?<\|message\|>"),
    ),
    Family(
        re.compile(r"\s*(?:<｜begin▁of▁sentence｜>)[^<]*<｜User｜>|\s*<｜User｜>"),
        re.compile(r"<｜(User|Assistant)｜>"),
    ),
    Family(
        re.compile(r"\s*(?:<BOS_TOKEN>)?<\|START_OF_TURN_TOKEN\|>"),
        re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(USER|CHATBOT|SYSTEM)_TOKEN\|>"),
    ),
    Family(
        re.compile(r"\s*(?:<\|begin_of_text\|>)?<\|header_start\|>"),
        re.compile(r"<\|header_start\|>\s*(\w+)\s*<\|header_end\|>"),
    ),
    Family(
        re.compile(r"\s*(?:<\|begin_of_text\|>)?<\|start_header_id\|>"),
        re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>"),
    ),
    Family(re.compile(r"\s*<extra_id_[01]>"), re.compile(r"<extra_id_[01]>(System|User|Assistant)[ \t]*\n")),
    Family(re.compile(r"\s*GPT4 (?:Correct )?User:"), re.compile(r"GPT4 (?:Correct )?(User|Assistant):[ ]?")),
    Family(
        re.compile(r"\s*\[\|(?:Human|User|AI|System)\|\]"), re.compile(r"\[\|(Human|User|AI|Assistant|System)\|\][ ]?")
    ),
    Family(re.compile(rf"\s*{_TAG}", re.IGNORECASE), re.compile(rf"^[ \t]*{_TAG}[ \t]*", re.IGNORECASE | re.MULTILINE)),
    Family(
        re.compile(rf"\s*(?:#+[^\n]*\n\s*)?{_BOLD}", re.IGNORECASE),
        re.compile(rf"^[ \t]*{_BOLD}[ \t]*", re.IGNORECASE | re.MULTILINE),
        is_titled=True,
    ),
    Family(re.compile(r"\s*You said:\s*\n"), re.compile(r"^(You|ChatGPT) said:[ \t]*$", re.MULTILINE)),
    Family(re.compile(rf"\s*{_BAR}", re.IGNORECASE), re.compile(_BAR, re.IGNORECASE)),
    Family(re.compile(rf"\s*{_HASH}|{PREAMBLE}", re.IGNORECASE), re.compile(_HASH, re.IGNORECASE)),
    Family(
        re.compile(rf"\s*(?:USER|SYSTEM):|{PREAMBLE}"), re.compile(r"\b(USER|ASSISTANT|SYSTEM|FUNCTION RESPONSE):[ ]?")
    ),
    _words("human|user|usr", "assistant|ai assistant|ai|bot|chatbot|gpt|chatgpt|model|claude"),
    _words("Q|question", "A|answer"),
    _words("instruction|prompt", "response|output|completion|answer"),
    _words(
        "customer|client|patient|caller|guest|visitor|seeker",
        "agent|counselor|counsellor|therapist|doctor|support|operator|advisor|adviser|receptionist|waiter",
        greets=True,
    ),
    _words("|".join(TRANSLATED["user"]), "|".join((*TRANSLATED["assistant"], "assistant"))),
    _words("问|问题", "答|回答|答案"),
    _words(
        "用户|人类|患者|病人|客户|顾客|来访者|求助者|买家|乘客|家长",
        "助手|医生|大夫|客服|咨询师|心理咨询师|机器人|人工客服|店员|卖家|律师|专家|小助手|智能助手|服务员",
        greets=True,
    ),
)
"""Known families of marks, in the order of trial."""

_OTHER_NAMES = {
    **dict.fromkeys(
        (
            "usr", "you", "input", "prompt", "caller", "guest", "visitor", "指令", "输入", "问题", "人类", "客户",
            "来访者", "病人", "顾客", "求助者", "买家", "乘客", "家长",
        ),
        "user",
    ),
    **dict.fromkeys(
        (
            "ai assistant", "output", "completion", "support", "operator", "advisor", "adviser", "receptionist",
            "waiter", "输出", "回答", "答案", "客服", "咨询师", "机器人", "大夫", "心理咨询师", "人工客服",
            "店员", "卖家", "律师", "专家", "小助手", "智能助手", "服务员",
        ),
        "assistant",
    ),
    "function response": "tool",
}  # fmt: skip
"""Roles by the name of the speaker, for names that occur only in transcripts."""

_MIN_TURNS = 4
"""Minimum number of turns of a dialogue whose speakers have unknown names."""

_SPEAKER = re.compile(r"[ \t]*([^\W\d_][^\n:：.?!。？！,，;；\"“()]{0,23}?)[ \t]*[:：][ \t]*(?=\S)")
"""Matches the name of a speaker at the beginning of a line."""

_FIELDS = frozenset((*NAMES["languages"], *NAMES["fields"]))
"""Words that stand before a colon and are no speakers."""

_ENDS = re.compile(
    r"(?:\s*(?:</s>|<s>|<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<\|end_of_turn\|>|<\|endoftext\|>|<\|end_of_text\|>|<eo[a-z]>|"
    r"<end_of_turn>|<eos>|<\|return\|>|<\|call\|>|<｜end▁of▁sentence｜>|<\|END_OF_TURN_TOKEN\|>|<\|eot\|>))+\s*$"
)
_TEMPLATE = re.compile(
    rf"\s*(?:(?:<s>|<bos>|<BOS_TOKEN>)?\s*(?:<[|｜]\w|<start_of_turn>|\[INST\])|{_HASH})", re.IGNORECASE
)
"""Matches the beginning of a text in a chat template."""

_BEGINS = re.compile(r"<\|begin_of_text\|>|<bos>|<｜begin▁of▁sentence｜>|<BOS_TOKEN>")
_CALL = re.compile(r"^<functioncall>\s*(\{.*\})$", re.DOTALL)
_QUOTED_ARGUMENTS = re.compile(r"(\"arguments\":\s*)'(.*)'(?=\s*\}$)", re.DOTALL)
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
    return _parse_speakers(text)


def is_template(text: str) -> bool:
    """Return whether a text begins with a mark of a chat template, which never occurs in prose."""
    return _TEMPLATE.match(text) is not None


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
    if not family.is_titled and (preamble := _BEGINS.sub("", text[: marks[0].start()]).strip()):
        turns.append(("system", preamble))
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        name = mark[1].lower()
        role = _OTHER_NAMES.get(name) or ROLES.get(name)
        text_of_turn = _ENDS.sub("", text[mark.end() : after.start() if after else len(text)]).strip()
        if role == "tool":
            role = "user"
            text_of_turn = f"<tool_response>\n{text_of_turn}\n</tool_response>"
        elif call := _CALL.match(text_of_turn):  # Glaive
            text_of_turn = f"<tool_call>\n{_QUOTED_ARGUMENTS.sub(_unquote, call[1])}\n</tool_call>"
        if role is None:
            return None
        if family.mark.groups > 1 and mark[2] == "analysis":
            text_of_turn = f"<think>\n{text_of_turn}\n</think>\n"
        if turns and turns[-1][0] == "assistant" and turns[-1][1].endswith("</think>\n") and role == "assistant":
            turns[-1] = (role, f"{turns[-1][1]}\n{text_of_turn}")
        elif name in ("input", "输入") and turns and turns[-1][0] == "user":
            turns[-1] = ("user", "\n\n".join(filter(None, (turns[-1][1], text_of_turn))))
        else:
            turns.append((role, text_of_turn))
    roles = [role for role, _ in turns]
    if roles[0] == "assistant" and roles[1:2] == ["user"] and family.greets:  # a greeting, which the grammar cuts
        roles = roles[1:]
    is_dialogue = "assistant" in roles and "user" in roles[: roles.index("assistant")]
    return turns if is_dialogue and roles[0] != "assistant" else None


def _unquote(arguments: re.Match[str]) -> str:
    return arguments[1] + arguments[2].replace("\\'", "'")


def _parse_speakers(text: str) -> list[Turn] | None:
    """Return the turns of a dialogue of two speakers with unknown names, or `None` for any other text.

    Every line must begin with a name, and a turn must be a question. The speaker who asks more is the user.
    """
    if not (text.count(":") >= _MIN_TURNS or text.count("：") >= _MIN_TURNS):
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    marks = [_SPEAKER.match(line) for line in lines]
    names = [mark[1].lower() for mark in marks if mark]
    if len(names) < len(lines) or len(set(names)) != 2 or not _FIELDS.isdisjoint(names):
        return None
    turns: list[Turn] = []
    for name, line, mark in zip(names, lines, marks, strict=True):
        spoken = line[mark.end() if mark else 0 :].strip()
        if turns and turns[-1][0] == name:
            turns[-1] = (name, f"{turns[-1][1]}\n{spoken}")
        else:
            turns.append((name, spoken))
    questions = Counter(name for name, spoken in turns if spoken.endswith(("?", "？")))
    if len(turns) < _MIN_TURNS or not questions:
        return None
    user = max(dict.fromkeys(names), key=lambda name: questions[name])
    return [("user" if name == user else "assistant", spoken) for name, spoken in turns]


def is_script(text: str) -> bool:
    """Return whether every line of a text begins with the name of a speaker, and most names occur again."""
    lines = [line for line in text.splitlines() if line.strip()]
    marks = [_SPEAKER.match(line) for line in lines]
    names = [mark[1].lower() for mark in marks if mark]
    return len(lines) >= _MIN_TURNS and len(names) == len(lines) and 2 * len(set(names)) <= len(names)


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
