"""Answers that decline."""

import polars as pl

from infinity_assets.selection.rules.rule import Bound

_CANNOT = (
    r"(?:can(?:no|')?t|can’t|can not|could(?: not|n't)|am (?:not able|unable) to|'m (?:not able|unable) to|won't|will not"
    r"|do(?: not|n't|n’t) have (?:the ability|access))"
)
_DO = (
    r"(?:help|assist|answer|comply|fulfil|provide|do (?:that|this|so)|complete|perform|process|generate|create|access|see|view|open|browse|respond"
    r"|support|engage|continue|give|offer|determine|understand|identify)"
)
_SORRY = r"i(?:'m| am|’m)?(?: very| so| really)? (?:sorry|afraid)|sorry|my apologies|i apologi[sz]e"
_AS_AI = r"(?:as|being) an? (?:ai|artificial|large|language)[^,.\n]{0,40},? *"
_UNABLE = (
    r"(?:cannot|can(?:'|’)t|unable|not able|do(?: not|n't|n’t) (?:know|have|understand)|could|inappropriate"
    r"|not (?:possible|available|appropriate))"
)
_SORRY_ZH = r"(?:非常|很|十分|真的)?(?:对不起|抱歉|不好意思|遗憾)"
_AS_AI_ZH = r"(?:作为|身为)[^，。\n]{0,20}(?:AI|人工智能|语言模型|助手|机器人)[^，。\n]{0,6}[，,]?\s*"
_CANNOT_ZH = r"我(?:目前|暂时|现在|并|还)?(?:无法|不能|没办法|没有办法|没有能力|不会)(?:直接|为您|为你|给您|给你|对此|准确|完全)?"
_DO_ZH = r"(?:回答|提供|满足|完成|处理|执行|访问|打开|查看|生成|帮|协助|理解|继续|判断|确定|给出|进行)"
OPENING = r"(?i)^\W*(?:" + "|".join(
    [
        rf"(?:(?:well|oh|hello|hi|unfortunately|{_SORRY})\b[,.!;:]? *(?:but|that)?,? *)*(?:{_AS_AI})?i(?:'m)? *{_CANNOT}[^.\n]{{0,25}}?\b{_DO}\b",
        rf"(?:i(?:'m| am)? )?sorry(?:,? but|,) (?:this|that|your|the|it|i)\b[^\n]{{0,120}}?{_UNABLE}",
        r"no output\b",
        r"(?:the|this) (?:instruction|task|request|input) (?:cannot|can(?:'|’)t|can not) be (?:completed|performed|fulfilled|done)",
        rf"(?:{_SORRY_ZH}[，,。！!]?\s*(?:但是?)?)?(?:{_AS_AI_ZH})?(?:但|所以|因此)?{_CANNOT_ZH}{_DO_ZH}",
        rf"{_SORRY_ZH}[，,](?:您|你)?(?:的)?(?:问题|请求|输入|这个|该|没有(?:提供|给出|足够))",
    ]
) + ")"  # fmt: skip
"""The opening of an answer that declines. The verbs exclude story characters, who do not offer help."""
SENTENCE = r"(?im)" + "|".join(
    [
        rf"(?:^|[.!?]\s+)(?:(?:unfortunately|however|but|so),? *)?(?:{_AS_AI})?i(?:'m|’m)? *{_CANNOT}[^.\n\"”]{{0,25}}?\b{_DO}\b",
        rf"\b(?:{_SORRY})\b[^.\n]{{0,80}}?{_UNABLE}",
        rf"\b{_AS_AI}(?:i|it|this)\b[^.\n]{{0,40}}?(?:{_CANNOT}|{_UNABLE}|(?:do|am|is) not|don(?:'|’)t|lack)",
        r"\bi(?:'m| am|’m) (?:not (?:capable|programmed|designed|trained)|only an? (?:ai|language model))\b",
        rf"{_SORRY_ZH}[，,。！!\s][^。\n]{{0,20}}?(?:无法|不能|没办法|不会|不便)",
        rf"(?:^|[。！!，,\s])(?:{_AS_AI_ZH})(?:但|所以|因此)?[^。\n]{{0,12}}?(?:无法|不能|没有|不会|不具备)",
        rf"(?:^|[。！!]\s*)(?:很遗憾[，,])?{_CANNOT_ZH}{_DO_ZH}",
    ]
)  # fmt: skip
"""A sentence that declines, anywhere in an answer."""

BOUNDS = (
    Bound(
        "refusal",
        pl.when(pl.col("refusal_span").is_not_null()).then(pl.col("answer_words")),
        "below",
        "Words of an answer that begins by declining: a longer answer goes on to help.",
        evidence=pl.col("refusal_span"),
    ),
)
