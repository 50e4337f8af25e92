"""What formats, templates and tools left in an answer, and answers that stop in the middle."""

import re

import polars as pl

from infinity_assets.rows import grammar
from infinity_assets.selection.rules.rule import Bound

MARKS = "|".join(
    [
        *(re.escape(mark) for mark in grammar.DEBRIS),
        r"(?m:^ {0,3}#{3,}\s*(?:Instruction|Response|Human|Assistant|User|指令|回答)\s*[:：])",
        r"(?m:^ {0,3}(?:#{2,}\s*)?\d+\. Instruction\s*:)",
        r"(?m:^ {0,3}(?:Below is an instruction that describes a task|The following is a conversation between))",
        r"<(?:pad|unk|bos|eos|noinput)>|</s>\s*$",
    ]
)
"""Marks and headings of chat and instruction templates, and special tokens."""
EXCHANGE = r"(?mi:^\W*(?:human|user|用户)\s*[:：].*\n+\W*(?:assistant|gpt|chatgpt|bot|ai|助手)\s*[:：])"
"""A second exchange inside an answer."""
_DIALOGUE = (
    r"(?i)conversation|dialog|chat|interview|script|scenario|skit|role-?play|simulat|对话|聊天|剧本|交流|会话|扮演|模拟"
)
"""A prompt that asks for one."""
NO_DEBRIS, ASKED_FOR, DEBRIS = 0, 1, 2
CALCULATOR = r"<<[^<>\nA-Za-wyz]*\d[^<>\nA-Za-wyz]*=[^<>\nA-Za-wyz]*>>|(?m:^####\s*-?[$€£¥]?[\d.,]+\s*$)"
"""GSM8K's calculator notes, and its mark before the result."""
TOOLS = (
    r"<\|?/?(?:tool_calls?|tool_response|function_calls?|invoke|commands|results|inner thoughts|eo[a-z])\|?>"
    r"|\[(?:Calculator|QA|Search|WikiSearch|Calendar|MT|MLMQA)\([^\n\]]*\)(?: ?(?:->|→)[^\n\]]*)?\]|\[\d+†[^\]\n]*\]|<\|\d+\|>"
    r"|(?:^|[ :\"'])(?:request|wikipedia|weather|wolfram|shell|python)\((?:'[^\n]{1,400}'|\"[^\n]{1,400}\")\)"
)
"""Calls of tools written into the text (Toolformer, ChatML tools, MOSS), and the marks of a browsing tool."""
PLACEHOLDER = (
    r"(?i)\[\s*(?:please )?(?:insert|enter|add|fill in|put)\b[^\]\n]{0,60}\]|<(?:insert|enter|your answer)\b[^>\n]{0,60}>"
    r"|\{\{(?:name|author|model|company)\}\}|\b(?:todo: (?:write|answer|fill)|your answer here)|[\[【（(](?:在此|此处|这里"
    r"|请)(?:插入|填写|输入|填入)[^\]】）)\n]{0,30}[\]】）)]"
)
"""What an author was to fill in. A letter's `[Your Name]` is not one."""

_ENDS = r"""[.!?…。！？」』”’"'`)）\]】}》>*_~|；;:：\-–—=#$%°]\s*$|\p{So}\s*$"""
MID = r"(?:[\p{L}\p{N}] *[,，、]|\b(?:and|or|the|a|an|of|that|which|is|are|was|because)|[和或])\s*$"
"""An end on a comma, or on a word that wants another."""
CLOSING = r"(?i)\b(?:sincerely|regards|love|yours|truly|faithfully|gratitude|wishes|cheers|thanks|thank you|best|respectfully|hugs),\s*$"
"""How a letter closes that lacks its name."""
_LONG = 200
"""Characters from which an answer is prose that has an end."""

BOUNDS = (
    Bound("template_debris", pl.col("debris"), "above",
          "0: none; 1: turns of user and assistant inside an answer to a prompt that asks for a dialogue; 2: the same unasked, or a template's mark.",
          evidence=pl.col("debris_span")),
    Bound("calculator_marks", pl.col("calculator_marks"), "above",
          "Notes of a calculator (`<<6*7=42>>`) and result marks (`#### 42`) in the answers.",
          evidence=pl.col("calculator_mark")),
    Bound("tool_marks", pl.col("tool_marks"), "above", "Calls of tools and marks of their results in the answers.", evidence=pl.col("tool_mark")),
    Bound("placeholder", pl.col("placeholders"), "above", "Places in the answers that their author was to fill in.",
          evidence=pl.col("placeholder")),
    Bound("unfinished", pl.col("unfinished"), "above",
          "0: the answer ends; 1: it is long and ends without a sign; 2: it ends on a comma or a word that wants another, or in an open code block.",
          evidence=pl.col("ending")),
)  # fmt: skip


def debris(prompt: pl.Expr, said: pl.Expr) -> pl.Expr:
    """Whether answers hold marks of a template: 0, 1 or 2 as the rule says."""
    exchange = pl.when(prompt.str.contains(_DIALOGUE)).then(ASKED_FOR).otherwise(DEBRIS)
    return (
        pl.when(said.str.contains(MARKS))
        .then(DEBRIS)
        .when(said.str.contains(EXCHANGE))
        .then(exchange)
        .otherwise(NO_DEBRIS)
        .cast(pl.Int8)
    )


def unfinished(answer: pl.Expr) -> pl.Expr:
    """Whether an answer stops in the middle: 0, 1 or 2 as the rule says."""
    ends, closing = answer.str.contains(_ENDS), answer.str.contains(CLOSING)
    open_block = answer.str.count_matches("```") % 2 == 1
    long = answer.str.len_chars() >= _LONG
    level = (
        pl.when(~ends & (open_block | (long & answer.str.contains(MID))) & ~closing)
        .then(2)
        .when(long & ~ends)
        .then(1)
        .otherwise(0)
    )
    return pl.when(answer.is_not_null()).then(level).cast(pl.Int8)
