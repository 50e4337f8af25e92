"""Rules that reject rewrites. The seed of a rejected rewrite returns to the pool.

The rules follow Evol-Instruct's elimination (arXiv 2304.12244) and what is known of Infinity-Instruct's: no gain over
the seed, another language, leaked words of the prompt, an answer instead of a request.
"""

from collections.abc import Iterable

import polars as pl

from infinity_assets.decontamination.gate import Gate
from infinity_assets.prompts import Bilingual, Prompt
from infinity_assets.rows.grammar import DEBRIS
from infinity_assets.rows.text import CJK, FUNCTION_WORDS, normalize_text, tokens, word_count
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule
from infinity_assets.settings import Decontamination
from infinity_assets.settings.chat import Elimination
from infinity_assets.synthesis import safety
from infinity_assets.synthesis.dispatch import has_relation
from infinity_assets.synthesis.elimination import context, material

EVOLVES = has_relation("in_depth", "in_breadth")
IN_DEPTH = has_relation("in_depth")
_ON_ITS_TEXT = has_relation("on_text")
"""Requests that contain a passage and are therefore similar to it."""

_CORPUS_DEBRIS = r"<unk>|@[-,.]@|-[LR][RS]B-"
_SPEAKS_OF_TOKENS = (
    r"(?i)\b(?:language models?|(?:de)?token\w*|vocabular\w*|out-of-vocabulary|oov|embeddings?|corpus|corpora|parser|treebank)\b"
    r"|词表|分词|词元|语料"
)
"""Requests about the marks themselves."""
_SIGN = r"[+*/=<>^%!]|-\s*\d|\(\s*\d"
"""Signs that make a formula another task."""
_SENTENCE = r"[^.?!。？！\n]+"
_TELLING_WORDS = 4
"""Words from which a repeated sentence counts; shorter ones may repeat by chance."""
_ADDS_NOTHING = f"{FUNCTION_WORDS} what which please 请 有 哪 些 什 么 怎 如 何 谁 一 个"
"""Tokens that add nothing to a seed."""
_EXAMPLE_RUNS = 8, 11
"""Consecutive words, or Chinese characters, that an example and a copy of it share."""
_SURE_WORDS = 3
"""Words of a seed from which languages of one script are distinguished; the rewrite needs more words than this."""
_EXAMPLE = {"item_id": pl.String, "benchmark": pl.String, "prompt": pl.String}
_LEAKED_RUNS = {"en": (4, 6), "zh": (6, 8)}
"""Consecutive fixed words of a prompt that make a leak: the minimum for a whole sentence, and for a part of one."""
_LEAKED = (
    r"(?im)given (?:prompt|request|instruction)#|#\s*(?:the )?(?:given|rewritten|new|created|evolved) "
    r"|(?:the|this|your) (?:given|rewritten) (?:prompt|request)"
    r"|^\W*(?:(?:the )?(?:new|rewritten|original|revised|evolved|given|seed|more (?:specific|difficult"
    r"|complex)) (?:request|prompt|question|instruction|version)"
    r"|request|prompt|instruction)(?: is)?\W{0,3}[:：]"
    r"|^\W*here(?: is|'s|’s) (?:a|an|the|your|my|another) (?:\w+ ){0,2}(?:question|request|prompt|instruction|version)\b"
    r"|(?:rewritten|evolved) (?:prompt|request|question|instruction)|here is (?:a|the|your) (?:new |rewritten )?(?:request|text)\b"
    r"|\((?:[^()]* )?(?:rewritten|rewrite|added|new (?:constraint|condition)|word limit)\b[^()]*\)\s*$"
    r"|^\W*改写[:：]|[（(][^（）()]*(?:按要求|改写|加上|字数|条件)[^（）()]*[)）]\s*$"
    r"|at most twenty|one more condition:|several steps of reasoning|rarer subject|keeps? its language|do not answer it|send to an assistant"
    r"|改写后的(?:请求|问题|提示|指令)|给定的(?:请求|提示|指令)|(?:新|原来|原始)的?(?:请求|指令|提示)[：:]|下面是一个请求|最多比原来多|给它加上一个条件|要推理好几步"
    r"|更少见的主题|简体仍用简体|不要回答它|发给助手"
)
"""Words about the rewriting itself, which small models write around a rewrite with any prompt."""
_ANSWERING = (
    r"(?i)^\W*(?:(?:sure|certainly|absolutely|of course|yes|no problem|understood)(?: thing)?\s*[!.,:，]"
    r"|great question|thank you for|i(?:'m| am) sorry"
    r"|as an ai\b|here you (?:go|are)\b|i(?:'d| would) be (?:happy|glad)|i(?:'d| would) love to|i(?:'ll"
    r"| will| can) (?:help|rewrite|suggest)|let me help"
    r"|好的[，,。！!]|当然[，,。！!可]|没问题[，,。！!]|明白了|(?:很?抱歉|对不起)(?:[，,。！!]|我)|我?很(?:乐意|高兴)(?:为|帮)|我(?:推荐|建议)你"
    r"|作为一[个名](?:人工智能|AI|语言模型))"
)
_PRESENTING = (
    r"(?i)^\W*(?:here(?: is| are|'s|’s)\b|below (?:is|are)\b|the following (?:is|are)\b|以下是|下面是|這是|这是)"
)
"""Words that introduce an answer, or the material of a request."""
_REQUEST_MARK = (
    r"[?？]|[请請]|如何|怎[么麼样樣]|什[么麼]|为何|哪|吗|嗎|[写寫]|列出|解[释釋]|说明|說明|介[绍紹]|计算|計算|推[荐薦]|比[较較]|翻[译譯]|总结|總結|[给給]出"
    r"|(?i)^\W*(?:which|why|who|(?:what|how) (?:is|are|do|does|did|was|were|would|can|should|many|much))\b"
    r"|[帮幫](?:我|忙)|想知道|有没有|是否|[能可]否|能不能|多少|(?i)\blooking for\b|\bplease\b|\b(?:i|and|i would"
    r"|i'd) (?:need|want|like to know|would like)\b"
)
_IMPERATIVE = (
    "add|alter|analyse|analyze|annotate|append|apply|argue|arrange|ask|assess|assign|assist|brainstorm|build|calculate|categorise|categorize|"
    "change|characterise|characterize|check|choose|classify|clean|collect|combine|come up with|compare|compile|complete|compose|compute|condense|"
    "conjugate|consider|construct|continue|contrast|convert|convince|correct|count|craft|create|critique|curate|debug|decide|defend|define|delete|"
    "demonstrate|derive|describe|design|detect|determine|develop|devise|diagnose|differentiate|discern|discuss|display|distinguish|divide|do not|"
    "don't|draft|draw|edit|elaborate|enumerate|envision|estimate|evaluate|examine|expand|explain|explore|express|extend|extract|figure|fill|find|"
    "fix|format|formulate|gather|generate|give|guess|help|highlight|identify|illustrate|imagine|implement|improve|infer|insert|interpret|invent|"
    "investigate|isolate|judge|keep|let|list|make|match|mention|merge|modify|multiply|name|normalise|normalize|offer|optimise|optimize|organise|"
    "organize|outline|paraphrase|parse|perform|pick|plan|please|populate|predict|prepare|pretend|produce|propose|prove|provide|put yourself|quote|"
    "rank|rearrange|recall|recite|recommend|reconstruct|refactor|refine|reflect|reformat|reformulate|reframe|relate|remind|remove|reorganise|"
    "reorganize|rephrase|replace|reply|respond|restate|restructure|retell|retrieve|reverse|review|revise|reword|rewrite|round|say|select|shorten|"
    "show|simplify|simulate|sing|sketch|solve|sort|specify|split|standardise|standardize|state|substitute|subtract|suggest|summarise|summarize|"
    "synthesise|synthesize|tabulate|take on|teach|tell|think|trace|train|transcribe|transform|translate|trim|turn|underline|use|validate|verify|"
    "visualise|visualize|write"
)
_NOUN_TOO = (
    "answer|cite|comment|document|form|get|group|label|link|look|map|model|order|output|pair|place|point|present|process|rate|read|reason|research|run"
    "|score|search|share|sum|tag|take|test|type|update"
)
"""Verbs that are also nouns: they ask if an object follows."""
_OBJECT = r"(?:the|an?|this|these|those|all|each|every|any|some|your|my|at|out|up|for|whether|how|between|\d+|two|three|four|five|ten)"
_AUXILIARY = (
    r"(?:is|are|am|was|were|does|did|do|can|could|should|would|has|have|had|isn't|aren't|don't|doesn't|can't|shouldn't)\b"
    r"|(?:will|may|might|shall) (?:i|you|we|it|they|he|she|there|this|that|the|an?|my|our)\b"
)
"""Beginnings of yes-or-no questions."""
_IMPERATIVE_ZH = (
    "安排|编|标[出记]|补全|采用|策划|查|阐述|创[作建造]|重新|产生|检测|完成|调整|分类|分析|改|概括|概述|构[建造]|估[算计]|归纳|格式化|翻|合并|计划|讲|举|简要|解[决读]|结合|聊|列|论述|描述|命名|"
    "模[拟仿]|拟|判断|评|拼|起草|求|区分|确定|删除|设[计想]|生成|识别|试|收集|输出|说|谈|讨论|替换?|提[供出取炼]|填空|添加|统计|推[断测]|为我|微分|想[出象]|形容|修改|续写|选|延伸|预测|阅读|约分|"
    "整理|找|证明|指出|制[定作]|转[换化]|准备|组[成织]|做|将|把|用|帮|来一|告诉|建议|开发|排列|反转|扮演|背诵|朗诵|[给給想替][^。，]{1,20}[起取做画讲选]|"
    "(?:从|以|按|就|根据|围绕)[^。，]{1,20}[讲画编说谈列答]"
)
"""Verbs that begin requests. A rewrite without a question or such a sentence is a statement: a small model's answer."""
_ONE_SENTENCE_ZH = (
    r"^\W*(?:从|以|按|就|根据|围绕|为|对|在|使用|通过|针对|给定?)[^。！\n]{1,50}(?:[写选找排改]|设计|提供|生成|创建|建议|提取|进行|分类|评[价估]|添加|插入|标[出记]|预测|计算|判断|转换|确定|开发|构建|提出|命名|起[一两三四五个名标])"
    r"[^。！\n]*[。！：:]?\s*(?:\n|$)"
)
"""A request whose verb comes late: a single sentence, possibly followed by its material."""
_CONDITION = "given|if|for|with|using|suppose|assuming|when|in|as|based|from|after|like"
"""First words of a clause before the main clause of a request."""


def asks(text: pl.Expr) -> pl.Expr:
    """Return whether a text asks for something, by a question mark, a Chinese request word, or a leading imperative."""
    begins = rf"(?im)(?:^|[.!:;]\s+|,\s*(?:and|then)\s+|^\W*(?:{_CONDITION})\b[^.!?\n]*,\s*)\W*(?:{_IMPERATIVE})\b"
    begins_zh = rf"(?m)(?:^|[，。；：！])\W*(?:{_IMPERATIVE_ZH})"
    wants = (
        rf"(?i)^\W*(?:{_AUXILIARY})|(?im)(?:^|[.!:;]\s+|,\s*(?:and|then)\s+)\W*(?:re-\w+|(?:{_NOUN_TOO}) {_OBJECT})\b"
    )
    patterns = (_REQUEST_MARK, begins, begins_zh, wants, _ONE_SENTENCE_ZH)
    return pl.any_horizontal(text.str.contains(pattern) for pattern in patterns)


def find_copied_examples(made: pl.DataFrame, prompts: Iterable[Bilingual]) -> pl.DataFrame:
    """Find rewrites that share a run of words with an example of the prompts, because small models tend to copy them.

    Args:
        made: row_id and messages of the rewrites.
        prompts: The prompts that may have produced them.

    Returns:
        Hits of the gate with the prompt's label as the benchmark, at most one per row and language.
    """
    hits = []
    for wordings, run in zip(zip(*prompts, strict=True), _EXAMPLE_RUNS, strict=True):
        examples = [
            {"item_id": f"{prompt.label}#{number}", "benchmark": prompt.label, "prompt": text}
            for prompt in wordings
            for number, text in enumerate(prompt.examples, 1)
        ]
        hits.append(Gate(pl.DataFrame(examples, _EXAMPLE), Decontamination(ngram=run, overlap=None)).hits(made))
    return pl.concat(hits)


def _find_leaks(text: pl.Expr, seed: pl.Expr, prompts: Iterable[Bilingual]) -> pl.Expr:
    """Return the first words of a text that are fixed words of a prompt, or mention rewriting, and are not in the seed.

    The result is null if there are no such words.
    """
    runs = sorted({run for wordings in prompts for prompt in wordings for run in _list_fixed_runs(prompt)})
    words = pl.when(~seed.str.contains(_LEAKED)).then(text.str.extract(f"({_LEAKED})", 0))
    if not runs:
        return words

    def match_runs(column: pl.Expr) -> pl.Expr:
        spelled = pl.concat_str(pl.lit(" "), tokens(column).list.join(" "), pl.lit(" "))
        return spelled.str.extract_many(runs, overlapping=True)

    fixed = match_runs(text).list.set_difference(match_runs(seed)).list.sort().list.first().str.strip_chars()
    return pl.coalesce(words, fixed)


def _list_fixed_runs(prompt: Prompt) -> set[str]:
    """Return the runs of tokens that a prompt contains for every row, in its system turn and its last turn."""
    least, most = _LEAKED_RUNS[prompt.language]
    system = [piece for turn in prompt.turns if turn.role == "system" for piece in turn.pieces[::2]]
    sentences = pl.Series([*system, *prompt.turns[-1].pieces[::2]], dtype=pl.String).str.split("\n").explode()
    sentences = sentences.str.extract_all(r"[^.:;?!。：；？！]+").explode().drop_nulls()
    runs = set()
    for words in sentences.to_frame("text").select(tokens(pl.col("text"))).to_series():
        if len(words) >= least:
            size = min(len(words), most)
            runs |= {f" {' '.join(words[start : start + size])} " for start in range(len(words) - size + 1)}
    return runs


def rules(settings: Elimination, prompts: Iterable[Bilingual] = ()) -> list[Rule]:
    """Return the rules for rewrites, in order.

    The rules read: text (the rewrite), seed (the instruction or passage), operation, similarity (cosine of the two),
    seed_answer_similarity (cosine of the rewrite and the seed's answer; null without an answer), finish_reason, error,
    and the judge's probabilities, each null if not asked: same (both ask the same), gain (the rewrite takes more to
    answer), harm (the rewrite asks for something harmful). Words that also occur in the seed are neither leaks nor
    signs of an answer.

    Args:
        settings: The thresholds.
        prompts: The prompts of the rewrites, whose words count as leaks.
    """
    text = pl.col("text")
    seed = pl.col("seed")
    similarity = pl.col("similarity")
    leaked = _find_leaks(text, seed, prompts)
    opening = text.str.extract(f"({_ANSWERING})", 1)
    presenting = pl.when(~asks(text) & ~seed.str.contains(_PRESENTING)).then(text.str.extract(f"({_PRESENTING})", 1))
    answering = pl.coalesce(pl.when(~seed.str.contains(_ANSWERING)).then(opening), presenting)
    text_language = language.detect(text)
    seed_language = language.detect(seed)
    # The language of a short text is uncertain if several languages share its script.
    certain = language.scripts_differ(text_language, seed_language) | (
        (word_count(seed) >= _SURE_WORDS) & (word_count(text) > _SURE_WORDS)
    )
    debris = text.str.extract(f"({_CORPUS_DEBRIS})", 1)
    repeated = _find_repeated(text)
    harm = safety.find_harm(text)
    lost = material.find_lost(seed, text)
    missing = context.find_missing(text)
    added = _count_words(material.extract_prose(text)) - _count_words(material.extract_prose(seed))
    new = _content_words(text).list.set_difference(_content_words(seed)).list.len().cast(pl.Int64)
    wanted = settings.min_new_words + (_count_words(text) < _count_words(seed)).cast(pl.Int64)
    nearer_answer = pl.col("seed_answer_similarity") - similarity
    return [
        Rule("no_text", text.is_null() | (text.str.strip_chars() == ""), pl.col("error")),
        Rule("truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule("template_debris", text.str.contains_any(list(DEBRIS)), text.str.slice(0, 60)),
        Rule("corpus_debris", ~text.str.contains(_SPEAKS_OF_TOKENS) & debris.is_not_null(), debris),
        Rule("leaked_prompt", leaked.is_not_null(), leaked),
        Rule("answer_instead_of_request", answering.is_not_null(), answering),
        Rule("no_request", ~asks(text), text.str.slice(0, 80)),
        Rule("identical", _strip_punctuation(text) == _strip_punctuation(seed), similarity),
        Rule(
            "language_changed",
            language.differs(text_language, seed_language) & certain,
            text_language,
            "the seed's language",
        ),
        Rule(
            "harmful",
            harm.is_not_null() | (pl.col("harm") > settings.max_harm),
            pl.col("harm"),
            settings.max_harm,
            harm,
        ),
        Rule("lost_material", IN_DEPTH & lost.is_not_null(), lost),
        Rule("missing_context", missing.is_not_null(), missing),
        Rule("repeats_itself", ~_ON_ITS_TEXT & repeated.is_not_null() & _find_repeated(seed).is_null(), repeated),
        Rule("nothing_added", IN_DEPTH & (new < wanted), new, wanted),
        Rule("too_many_words", EVOLVES & (added > settings.max_added_words), added, settings.max_added_words),
        Rule("no_gain", ~_ON_ITS_TEXT & (similarity > settings.max_similarity), similarity, settings.max_similarity),
        Rule("lost_subject", IN_DEPTH & (similarity < settings.min_similarity), similarity, settings.min_similarity),
        Rule("answers_the_seed", EVOLVES & (nearer_answer > 0), nearer_answer, 0),
        Rule("same_request", pl.col("same") > settings.max_same, pl.col("same"), settings.max_same),
        Rule("no_gain_by_judge", IN_DEPTH & (pl.col("gain") < settings.min_gain), pl.col("gain"), settings.min_gain),
    ]


def _strip_punctuation(text: pl.Expr) -> pl.Expr:
    """Normalize a text and remove its final punctuation, except the sign of a factorial."""
    return normalize_text(text).str.replace(r"[.?。\s]+$", "").str.replace(r"(\p{L})!+$", "$1")


def _find_repeated(text: pl.Expr) -> pl.Expr:
    """Return the first repeated sentence of a text, or null. Code and tables do not count."""
    sentences = normalize_text(material.extract_prose(text).str.replace_all("\n", ".", literal=True)).str.extract_all(
        _SENTENCE
    )
    sentences = sentences.list.eval(pl.element().str.strip_chars().filter(word_count(pl.element()) >= _TELLING_WORDS))
    return sentences.list.eval(pl.element().filter(pl.element().is_duplicated())).list.first()


def _content_words(text: pl.Expr) -> pl.Expr:
    """Return the content words of a text, without plural endings, and the signs of formulas."""
    words = tokens(text).list.set_difference(pl.lit(pl.Series([_ADDS_NOTHING.split()])))
    stems = words.list.eval(pl.element().str.replace("(.{2})(?:es|s|e)$", "$1"))
    return stems.list.concat(text.str.extract_all(_SIGN).list.eval(pl.element().str.replace_all(r"\s", "")))


def _count_words(text: pl.Expr) -> pl.Expr:
    """Count words; two CJK characters count as one."""
    return word_count(text).cast(pl.Int64) - text.str.count_matches(f"[{CJK}]").cast(pl.Int64) // 2
