"""Answers in which a model reveals its identity or its maker."""

import polars as pl

from infinity_assets.selection.rules.rule import Bound

_NAMES = r"chatgpt|gpt-?[345]\w*|(?-i:MOSS|ERNIE|LLaMA|Qwen|ChatGLM|Vicuna)|claude, (?:an?|your|made|created|developed)"
_MAKERS = r"openai|anthropic|google|meta ai|deepmind|microsoft|alibaba|baidu|fudan|\{\{author\}\}"
_SELF = r"(?:an? )?(?:ai|artificial intelligence|large language|language|virtual|digital|chat)[ -]?(?:language )?(?:model|assistant|bot|program)"
_SELF_ZH = r"(?:AI|人工智能|语言模型|智能助手|聊天机器人)"
CLAIM = (
    rf"(?i)\b(?:i am|i'm|i’m|as|my name is|call me|being) (?:(?:just|only|simply|called) )?(?:an? )?(?:{_NAMES})\b"
    rf"|\b(?:i am|i'm|i’m) (?:just |only |simply )?{_SELF}\b|\b(?:as|being) (?:just |only )?an? (?:ai"
    rf"|(?:large )?language) (?:language )?(?:model|assistant|chatbot)\b"
    rf"|\bas an ai\b(?:,| (?:i|that|developed|trained|created)\b)"
    rf"|\b(?:i was|i am|i'm|i’m|i have been) (?:created|made|trained|developed|built|designed) by (?:the )?(?:{_MAKERS})\b"
    r"|\bmy (?:training data|knowledge) (?:cutoff|cut-off|only (?:goes|extends))"
    rf"|我是(?:由)?(?:OpenAI|复旦|百度|阿里|谷歌|一个?(?:基于)?[^，。\n]{{0,12}}{_SELF_ZH})"
    rf"|我(?:叫|是)[^。\n]{{0,40}}(?:开发|创建|训练|设计|研发)的[^，。\n]{{0,8}}{_SELF_ZH}"
    rf"|(?:作为|身为)(?:一个|一名|一款|一台)?[^，。\n]{{0,8}}{_SELF_ZH}(?:语言模型|助手|模型|程序|机器人)?[，,]?\s*(?:我|让我|没有|很)"
    r"|我是\s*(?:ChatGPT|GPT|MOSS|文心一言|通义千问|Claude)"
)
"""A model's claim about itself."""
MENTION = r"(?i)chatgpt|\bgpt-?[345]|openai|anthropic|language model|\bas an ai\b|语言模型|人工智能助手"
"""Names that occur in such claims, anywhere in a text."""
_PART = (
    r"(?i)\b(?:role-?play|pretend|act as|imagine|you are (?:an? )?(?:ai|robot|computer|machine|android|chatbot)"
    r"|write (?:a|an|the) (?:story|poem|dialog|script"
    r"|conversation|scene|monolog|letter|introduction|speech)|from the (?:perspective|point of view)|persona|character)\b"
    r"|扮演|假装|假设你是|想象|角色|写(?:一|个|篇|段)[^，。\n]{0,10}(?:故事|对话|诗|剧本|小说)"
)
"""A prompt that gives the speaker a part to play."""

NOTHING = 0
NAMED = 1
IN_PART = 2
CLAIMED = 3

BOUNDS = (
    Bound(
        "identity_leak",
        pl.col("identity"),
        "above",
        "0: no mention of a model; 1: a model is named; 2: the speaker claims to be one, in a part that the prompt "
        "assigns; 3: the speaker claims to be one.",
        evidence=pl.col("identity_span"),
    ),
)


def identity(texts: pl.DataFrame) -> pl.Series:
    """Grade mentions of the answering model: 0 to 3, as in the bound `identity_leak`.

    A prompt with such claims itself, such as the input of a program, counts as assigning a part.

    Args:
        texts: prompt, said (all answers of a row).
    """
    named = texts.select(
        pl.col("said").str.contains(MENTION).fill_null(False).cast(pl.Int8).alias("identity"),
        claimed=pl.col("said").str.contains(CLAIM),
    )
    at = named["claimed"].fill_null(False).arg_true()
    prompts = texts["prompt"].gather(at)
    part = prompts.str.contains(_PART) | prompts.str.contains(CLAIM)
    levels = pl.select(pl.when(part).then(IN_PART).otherwise(CLAIMED).cast(pl.Int8)).to_series()
    return named["identity"].scatter(at, levels)
