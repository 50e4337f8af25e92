"""Debris of formats, templates and tools in answers, and answers that stop in the middle."""

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
"""A prompt that asks for a dialogue."""
NO_DEBRIS = 0
ASKED_FOR = 1
DEBRIS = 2
CALCULATOR = r"<<[^<>\nA-Za-wyz]*\d[^<>\nA-Za-wyz]*=[^<>\nA-Za-wyz]*>>|(?m:^####\s*-?[$€£¥]?[\d.,]+\s*$)"
"""GSM8K's calculator notes, and its mark before a result."""
TOOLS = (
    r"<\|?/?(?:tool_calls?|tool_response|function_calls?|invoke|commands|results|inner thoughts|eo[a-z])\|?>"
    r"|\[(?:Calculator|QA|Search|WikiSearch|Calendar|MT|MLMQA)\([^\n\]]*\)(?: ?(?:->|→)[^\n\]]*)?\]|\[\d+†[^\]\n]*\]|<\|\d+\|>"
    r"|(?:^|[ :\"'])(?:request|wikipedia|weather|wolfram|shell|python)\((?:'[^\n]{1,400}'|\"[^\n]{1,400}\")\)"
)
"""Tool calls written into the text (Toolformer, ChatML tools, MOSS), and marks of a browsing tool."""
PLACEHOLDER = (
    r"(?i)\[\s*(?:please )?(?:insert|enter|add|fill in|put)\b[^\]\n]{0,60}\]|<(?:insert|enter|your answer)\b[^>\n]{0,60}>"
    r"|\{\{(?:name|author|model|company)\}\}|\b(?:todo: (?:write|answer|fill)|your answer here)|[\[【（(](?:在此|此处|这里"
    r"|请)(?:插入|填写|输入|填入)[^\]】）)\n]{0,30}[\]】）)]"
)
"""A gap for the author to fill in. The `[Your Name]` of a letter does not count."""

_ENDS = r"""[.!?…。！？」』”’"'`)）\]】}》>*_~|；;:：\-–—=#$%°]\s*$|\p{So}\s*$"""
MID = r"(?:[\p{L}\p{N}] *[,，、]|\b(?:and|or|the|a|an|of|that|which|is|are|was|because)|[和或])\s*$"
"""An end on a comma, or on a word that needs another after it."""
CLOSING = r"(?i)\b(?:sincerely|regards|love|yours|truly|faithfully|gratitude|wishes|cheers|thanks|thank you|best|respectfully|hugs),\s*$"
"""The close of a letter without a name."""
_LONG = 200
"""Characters from which an answer is prose that needs an ending."""

BOUNDS = (
    Bound("template_debris", pl.col("debris"), "above",
          "0: no debris; 1: turns of user and assistant inside an answer to a prompt that asks for a dialogue; "
          "2: such turns without a request, or a template's mark.",
          evidence=pl.col("debris_span")),
    Bound("calculator_marks", pl.col("calculator_marks"), "above",
          "Notes of a calculator (`<<6*7=42>>`) and result marks (`#### 42`) in the answers.",
          evidence=pl.col("calculator_mark")),
    Bound("tool_marks", pl.col("tool_marks"), "above", "Tool calls and marks of their results in the answers.",
          evidence=pl.col("tool_mark")),
    Bound("placeholder", pl.col("placeholders"), "above", "Gaps in the answers for the author to fill in.",
          evidence=pl.col("placeholder")),
    Bound("unfinished", pl.col("unfinished"), "above",
          "0: the answer is complete; 1: it is long and ends without punctuation; 2: it ends on a comma or on a word "
          "that needs another after it, or in an open code block.",
          evidence=pl.col("ending")),
)  # fmt: skip


def grade_debris(prompt: pl.Expr, answers: pl.Expr) -> pl.Expr:
    """Grade the debris in answers: 0, 1 or 2, as in the bound `template_debris`."""
    exchange = pl.when(prompt.str.contains(_DIALOGUE)).then(ASKED_FOR).otherwise(DEBRIS)
    return (
        pl.when(answers.str.contains(MARKS))
        .then(DEBRIS)
        .when(answers.str.contains(EXCHANGE))
        .then(exchange)
        .otherwise(NO_DEBRIS)
        .cast(pl.Int8)
    )


def grade_unfinished(answer: pl.Expr) -> pl.Expr:
    """Grade whether an answer stops in the middle: 0, 1 or 2, as in the bound `unfinished`."""
    ends = answer.str.contains(_ENDS)
    closing = answer.str.contains(CLOSING)
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
