"""Detection of requests that refer to missing material: "this review" without a review, "the given options"."""

import polars as pl

_THINGS = (
    r"(?:texts?|passages?|paragraphs?|articles?|reviews?|stor(?:y|ies)|poems?|sentences?|statements?|questions?|snippets?|code|functions?|programs?|tables?"
    r"|lists?|options?|choices|images?|pictures?|datasets?|data|conversations?|dialogues?|e-?mails?|letters?|documents?|excerpts?|quotes?|numbers?|facts?"
    r"|contexts?|information|reports?|stud(?:y|ies)|arrays?|equations?|lyrics|tweets?|headlines?|files?)"
)
_GIVEN = r"(?:given|following|above|provided|associated|mentioned|aforementioned|said|previous|preceding|below)"
_REFERS = (
    rf"(?i)\bthe {_GIVEN} (?:\w+ ){{0,2}}?{_THINGS}\b|\b(?:this|these) (?:\w+ )?{_THINGS}\b"
    rf"|\b(?:given|provided|mentioned|described|shown|stated) (?:above|below|earlier|in the {_THINGS})\b"
    r"|\bthe (?:reviewer|passage|excerpt|snippet)\b|\bmentioned\s*[?.]?\s*$"
    r"|\b(?:in|of|from|by|read|reading|according to) the (?:text|article|paragraph|review|document|conversation|dialogue)\b"
)
_REFERS_ZH = (
    r"(?:[这該该此]|上述|以上|上面|下面|下列|以下|给定的?|所给的?|文中|前面)的?(?:[一几两三]?[个段篇句首条份部张些]|[一几两三][个段篇句首条份部张些])?的?[^，。？\s]{0,4}?"
    r"(?:文章|段落|文本|短文|句子|故事|诗歌?|代码|函数|表格|列表|选项|图片|数据|对话|评论|影评|题目|材料|资料|文字|段话|句话|问题)"
)
_BROUGHT = (
    r"\n\s*\S"  # a line of its own
    r"|[:：]\s*\S+(?:\s+\S+){2,}|[:：]\s*[^\s，。]{4,}"
    r"|\b[A-E][.)、．]\s*\S|\([A-Ea-e]\)|\d\s*[,，、]\s*-?\d"  # options, numbers
    r"|(?i:\bfollowing\b)[^.?!\n]*[.?!]\s*\S+(?:\s+\S+){2,}|(?:下列|以下|下面)[^。？！\n]*[。？！]\s*\S{4,}"
    r"|`[^`]{2,}`|《[^》]+》|\[[^\]]{3,}\]|[\"“][^\"”]{40,}[\"”]"
)
_QUOTED = r"\"[^\"]{6,}\"|“[^”]{3,}”|「[^」]{3,}」|'[^' ]+(?: [^' ]+)+'"
"""A quoted name, word or sentence, too short to be a passage."""
_LONGER = r"(?i)passage|article|context|conversation|dialogue|document|excerpt|report|paragraph|stor(?:y|ies)|段落|文章|短文|对话|材料|故事"
_SUBJECTS = (
    r"(?:films?|movies?|series|episodes?|shows?|diseases?|illness(?:es)?|conditions?|compan(?:y|ies)|books?|novels?|characters?|places?|events?|persons?"
    r"|people|man|woman|men|women|songs?|albums?|games?|products?|cit(?:y|ies)|towns?|countr(?:y|ies)|species|animals?|plants?|recipes?|dish(?:es)?|teams?"
    r"|players?|authors?|artists?|paintings?|laws?|theor(?:y|ies)|methods?|techniques?|algorithms?|problems?|situations?|scenarios?|tasks?|experiments?"
    r"|drugs?|medications?|devices?|websites?|apps?|buildings?|museums?|organi[sz]ations?|battles?|scenes?)"
)
_POINTS = (
    rf"(?is)^(.*?)\b(?:(?:this|these) (?:\w+ )?{_SUBJECTS}\b"
    r"|(?:to|answer|answers|ask|asks) that question\b)"
)
_POINTS_ZH = (
    r"(?s)^(.*?)[这该此][部种家本个位座首款项场道]?"
    r"(?:电影|影片|电视剧|疾病|病|公司|书|小说|角色|地方|事件|歌曲?|游戏|产品|城市|国家|动物|植物|菜|球队|作者|画|理论|方法|算法)"
)
_SPOKEN_OF = r"[,.;:?!\n]|\b(?:and|or|but|if|when|while|that|who|because|so)\b|\w\W+\p{Lu}|\d"
"""Text before "this film" that may identify it: another clause, a name."""
_SPOKEN_OF_ZH = r"[，。；：？！、,.;:?!《“\n]|\p{Latin}|\d|.{7}"
_MAKES = (
    r"(?i)\b(?:write|create|compose|make|design|draft|invent|build|implement|generate|tell|develop|imagine|construct|prepare|define|plan|draw"
    r"|come up with)\b"
    r"|写|创作|编|设计|画|拟|制作|生成|实现|想出|讲一?个"
)
"""Requests to make something, which may refer to it afterwards."""


def find_missing(text: pl.Expr) -> pl.Expr:
    """Return the words of a text that refer to material that it lacks, or to a subject that it does not name.

    The result is null if there are no such words, or the text is null.
    """
    refers = pl.coalesce(
        text.str.extract(f"({_REFERS})", 1),
        text.str.extract(f"({_REFERS_ZH})", 1),
        _find_pointer(text, _POINTS, _SPOKEN_OF),
        _find_pointer(text, _POINTS_ZH, _SPOKEN_OF_ZH),
    )
    brought = text.str.contains(_BROUGHT) | (text.str.contains(_QUOTED) & ~refers.str.contains(_LONGER))
    return pl.when(~brought & ~text.str.contains(_MAKES)).then(refers)


def _find_pointer(text: pl.Expr, points: str, spoken_of: str) -> pl.Expr:
    """Return the words up to a reference such as "this film", if nothing in them could be its subject."""
    return pl.when(~text.str.extract(points, 1).str.contains(spoken_of)).then(text.str.extract(points, 0))
