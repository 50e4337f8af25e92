"""Which rewrites are thrown away, and why. A failed seed returns to the pool.

The rules follow Evol-Instruct's elimination (arXiv 2304.12244) and what is known of Infinity-Instruct's: no gain over the seed, another
language, leaked words of the prompt, an answer instead of a request.
"""

from collections.abc import Iterable

import polars as pl

from infinity_assets.chat_settings import Elimination
from infinity_assets.decontamination.gate import Gate
from infinity_assets.prompts import Bilingual
from infinity_assets.rows.grammar import DEBRIS
from infinity_assets.rows.text import normalised, word_count
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule
from infinity_assets.settings import Decontamination

_EXAMPLE_RUNS = 6, 12
"""Words in a row, or Chinese characters, that tell a copied example from chance."""
_EXAMPLE = {"item_id": pl.String, "benchmark": pl.String, "prompt": pl.String}
_LEAKED = (
    r"(?i)given (?:prompt|request)|rewritten (?:prompt|request)|new request:|#the|here is a (?:request|text)|(?:more specific|following) request|"
    r"at most twenty|one more condition|several steps of reasoning|rarer subject|"
    r"keeps? its language|do not answer it|without the text|you (?:rewrite requests|think of questions)|send to an assistant|"
    r"改写后的(?:请求|问题|提示|指令)|给定的(?:请求|提示|指令)|新的请求[：:]|下面是一个请求|最多比原来多|给它加上一个条件|要推理好几步|更少见的主题|"
    r"没读过这段文字|文字只用来提供主题|简体仍用简体|不要回答它|发给助手"
)
_ANSWERING = (
    r"(?i)^\W*(?:sure|certainly|of course|here (?:is|are|'s)|i'm sorry|i am sorry|as an ai|"
    r"好的[，,。！!]|当然|以下是|很?抱歉|对不起|作为一个)"
)
_REQUEST_MARK = r"[?？]|请|如何|怎么|怎样|什么|为什么|哪|吗|写|列出|解释|说明|介绍|计算|推荐|比较|翻译|总结|给出|帮我"
_IMPERATIVE = (
    "add|analyse|analyze|arrange|build|calculate|change|choose|classify|compare|complete|compose|compute|convert|correct|create|debug|define|derive|"
    "describe|design|determine|develop|discuss|draft|estimate|evaluate|explain|extend|extract|find|fix|generate|give|help|identify|imagine|implement|"
    "improve|invent|keep|let|list|make|name|optimise|optimize|organise|outline|plan|please|produce|propose|prove|provide|rank|recommend|reply|rephrase|"
    "rewrite|say|shorten|show|simplify|sketch|solve|sort|state|suggest|summarise|summarize|tell|think|translate|turn|use|write"
)
_IMPERATIVE_ZH = (
    "安排|编|补全|策划|查|创作|分类|分析|改|概括|概述|估算|讲|介绍|举|聊|列|描述|模拟|拟|评|起草|求|设计|生成|说|谈|讨论|提取|替|为我|续写|选|整理|证明|"
    "制定|总结|做|把|用"
)
"""Verbs that requests begin with. A rewrite that neither asks nor begins a sentence with one of them is a statement: a small model's answer."""


def asks(text: pl.Expr) -> pl.Expr:
    """Whether a text asks for something: a question mark or a Chinese request word anywhere, or a sentence that begins with an imperative."""
    begins = rf"(?im)(?:^|[.!:;]\s+|,\s*(?:and|then)\s+)\W*(?:{_IMPERATIVE})\b"
    begins_zh = rf"(?m)(?:^|[，。；：！])\W*(?:{_IMPERATIVE_ZH})"
    return text.str.contains(_REQUEST_MARK) | text.str.contains(begins) | text.str.contains(begins_zh)


def copied_examples(made: pl.DataFrame, prompts: Iterable[Bilingual]) -> pl.DataFrame:
    """Rewrites that share a run of words with an example of the prompts: a small model likes to copy them.

    Args:
        made: row_id and messages of the rewrites.
        prompts: The prompts that they may have been made with.

    Returns:
        Lines as the gate gives them, with the prompt's label as the benchmark, at most one for each row and language.
    """
    found = []
    for wordings, run in zip(zip(*prompts, strict=True), _EXAMPLE_RUNS, strict=True):
        examples = [
            {"item_id": f"{prompt.label}#{number}", "benchmark": prompt.label, "prompt": text}
            for prompt in wordings
            for number, text in enumerate(prompt.examples, 1)
        ]
        found.append(Gate(pl.DataFrame(examples, _EXAMPLE), Decontamination(ngram=run, overlap=None)).hits(made))
    return pl.concat(found)


def rules(settings: Elimination) -> list[Rule]:
    """In the order in which they are tried.

    They read: text (the rewrite), seed (the instruction or passage), seed_answer_similarity (cosine of the rewrite with the seed's own
    answer, null where it has none), similarity (with the seed), finish_reason, error, seed_kind, same (probability, from the judge, that both ask
    the same; null where not asked). Words that stand in the seed as well are neither leaked nor a sign of an answer.
    """
    is_text = pl.col("seed_kind") == "text"
    added = word_count(pl.col("text")).cast(pl.Int64) - word_count(pl.col("seed")).cast(pl.Int64)
    leaked, answering = (pl.col("text").str.contains(words) & ~pl.col("seed").str.contains(words) for words in (_LEAKED, _ANSWERING))
    similarity, nearer_answer = pl.col("similarity"), pl.col("seed_answer_similarity") - pl.col("similarity")
    return [
        Rule("no_text", pl.col("text").is_null() | (pl.col("text").str.strip_chars() == ""), pl.col("error")),
        Rule("truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule("template_debris", pl.col("text").str.contains_any(list(DEBRIS)), pl.col("text").str.slice(0, 60)),
        Rule("leaked_prompt", leaked, pl.col("text").str.extract(f"({_LEAKED})", 1)),
        Rule("answer_instead_of_request", answering, pl.col("text").str.extract(f"({_ANSWERING})", 1)),
        Rule("no_request", ~asks(pl.col("text")), pl.col("text").str.slice(0, 80)),
        Rule("identical", normalised(pl.col("text")) == normalised(pl.col("seed")), similarity),
        Rule(
            "language_changed",
            language.differs(language.detect(pl.col("text")), language.detect(pl.col("seed"))),
            language.detect(pl.col("text")),
            "the seed's language",
        ),
        Rule("too_many_words", ~is_text & (added > settings.max_added_words), added, settings.max_added_words),
        Rule("no_gain", similarity > settings.max_similarity, similarity, settings.max_similarity),
        Rule("lost_subject", ~is_text & (similarity < settings.min_similarity), similarity, settings.min_similarity),
        Rule("answers_the_seed", ~is_text & (nearer_answer > 0), nearer_answer, 0),
        Rule("same_request", pl.col("same") > settings.max_same, pl.col("same"), settings.max_same),
    ]
