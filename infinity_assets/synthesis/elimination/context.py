"""Requests that speak of something that they do not bring along: "this review", "the given options", without a review or options."""

import polars as pl

_THINGS = (
    r"(?:texts?|passages?|paragraphs?|articles?|reviews?|stor(?:y|ies)|poems?|sentences?|statements?|questions?|snippets?|code|functions?|programs?|tables?"
    r"|lists?|options?|choices|images?|pictures?|datasets?|data|conversations?|dialogues?|e-?mails?|letters?|documents?|excerpts?|quotes?|numbers?|facts?"
    r"|contexts?|information|reports?|stud(?:y|ies)|arrays?|equations?|lyrics|tweets?|headlines?|files?)"
)
_GIVEN = r"(?:given|following|above|provided|associated|mentioned|aforementioned|said|previous|preceding|below)"
_REFERS = (
    rf"(?i)\bthe {_GIVEN} (?:\w+ ){{0,2}}?{_THINGS}\b|\b(?:this|these|that) (?:\w+ )?{_THINGS}\b"
    rf"|\b(?:given|provided|mentioned|described|shown|stated) (?:above|below|earlier|in the {_THINGS})\b"
    r"|\bthe (?:reviewer|passage|excerpt|snippet)\b|\bmentioned\s*[?.]?\s*$"
    r"|\b(?:in|of|from|by|according to) the (?:text|article|paragraph|review|document|conversation|dialogue)\b"
)
_REFERS_ZH = (
    r"(?:[这該该此]|上述|以上|上面|下面|下列|以下|给定的?|所给的?|文中|前面)的?(?:[一几两三]?[个段篇句首条份部张些]|[一几两三][个段篇句首条份部张些])?的?[^，。？\s]{0,4}?"
    r"(?:文章|段落|文本|短文|句子|故事|诗歌?|代码|函数|表格|列表|选项|图片|数据|对话|评论|影评|题目|材料|资料|文字|段话|句话|问题)"
)
_BROUGHT = (
    r"\n\s*\S"  # a line of its own
    r"|[:：]\s*\S+(?:\s+\S+){2,}|[:：]\s*[^\s，。]{4,}"
    r"|\"[^\"]{6,}\"|“[^”]{3,}”|「[^」]{3,}」|'[^' ]+(?: [^' ]+)+'|`[^`]{2,}`|《[^》]+》|\[[^\]]{3,}\]"
)
_MAKES = (
    r"(?i)\b(?:write|create|compose|make|design|draft|invent|build|implement|generate|tell|develop|imagine|construct|prepare|define|plan|draw"
    r"|come up with)\b"
    r"|写|创作|编|设计|画|拟|制作|生成|实现|想出|讲一?个"
)
"""Who has something made may speak of it after."""


def missing(text: pl.Expr) -> pl.Expr:
    """The words of a text that refer to material which does not stand in it; null where there are none, or where it is null."""
    refers = pl.coalesce(text.str.extract(f"({_REFERS})", 1), text.str.extract(f"({_REFERS_ZH})", 1))
    return pl.when(~text.str.contains(_BROUGHT) & ~text.str.contains(_MAKES)).then(refers)
