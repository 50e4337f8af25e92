"""Rules that reject rewrites. The seed of a rejected rewrite returns to the pool.

The rules follow the elimination of Evol-Instruct (arXiv 2304.12244) and the known criteria of Infinity-Instruct: no
gain over the seed, another language, leaked words of the prompt, an answer instead of a request.
"""

from collections.abc import Iterable
from pathlib import Path

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
from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("rewrite_rules.yaml"))

EVOLVES = has_relation("in_depth", "in_breadth")
IN_DEPTH = has_relation("in_depth")
_ON_ITS_TEXT = has_relation("on_text")
"""Condition for requests that contain the passage of their seed, and are therefore similar to the seed."""

_TELLING_WORDS = 4
"""Minimum words of a sentence whose repetition counts. Shorter sentences may repeat by chance."""
_ADDS_NOTHING = f"{FUNCTION_WORDS} what which please 请 有 哪 些 什 么 怎 如 何 谁 一 个"
"""Tokens that do not count as new words of a rewrite."""
_EXAMPLE_RUNS = 8, 11
"""Minimum run of words (English) or characters (Chinese) that a copy shares with an example."""
_SURE_WORDS = 3
"""Minimum words of a seed for telling two languages of one script apart. The rewrite needs more words than this."""
_EXAMPLE = {"item_id": pl.String, "benchmark": pl.String, "prompt": pl.String}
_LEAKED_RUNS = {"en": (4, 6), "zh": (6, 8)}
"""Consecutive fixed words of a prompt that make a leak: minimum for a whole sentence, and for a part of a sentence."""


def asks(text: pl.Expr) -> pl.Expr:
    """Return whether a text asks for something: a question mark, a Chinese request word or an imperative shows it."""
    ways = ("request_mark", "begins", "begins_zh", "wants", "one_sentence_zh")
    return pl.any_horizontal(_PATTERNS.contains(text, way) for way in ways)


def find_copied_examples(made: pl.DataFrame, prompts: Iterable[Bilingual]) -> pl.DataFrame:
    """Find rewrites that share a run of words with an example of the prompts, because small models tend to copy them.

    Args:
        made: row_id and messages of the rewrites.
        prompts: The prompts that may have produced the rewrites.

    Returns:
        Hits of `Gate`, with the prompt's label as the benchmark; at most one per row and language of the prompts.
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
    """Return the first words of a text, absent from the seed, that mention rewriting or are fixed words of a prompt.

    The result is null if there are no such words.
    """
    runs = sorted({run for wordings in prompts for prompt in wordings for run in _list_fixed_runs(prompt)})
    words = pl.when(~_PATTERNS.contains(seed, "leaked")).then(text.str.extract(f"({_PATTERNS['leaked']})", 0))
    if not runs:
        return words

    def match_runs(column: pl.Expr) -> pl.Expr:
        spelled = pl.concat_str(pl.lit(" "), tokens(column).list.join(" "), pl.lit(" "))
        return spelled.str.extract_many(runs, overlapping=True)

    fixed = match_runs(text).list.set_difference(match_runs(seed)).list.sort().list.first().str.strip_chars()
    return pl.coalesce(words, fixed)


def _list_fixed_runs(prompt: Prompt) -> set[str]:
    """Return the runs of tokens in the fixed text, without the variables, of a prompt's system turn and last turn."""
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

    The rules read the columns text (the rewrite), seed (the instruction or passage), operation, finish_reason, error
    and the measures of `model_measures.measure_rewrites`: similarity, seed_answer_similarity, same, gain and harm.
    Words that also occur in the seed are neither leaks nor signs of an answer.

    Args:
        settings: The thresholds.
        prompts: The prompts of the rewrites, whose fixed words count as leaks.
    """
    text, seed, similarity = pl.col("text"), pl.col("seed"), pl.col("similarity")
    same, gain, judged_harm = pl.col("same"), pl.col("gain"), pl.col("harm")
    has, extract = _PATTERNS.contains, _PATTERNS.extract
    leaked = _find_leaks(text, seed, prompts)
    opening = pl.when(~has(seed, "answering")).then(extract(text, "answering"))
    presenting = pl.when(~asks(text) & ~has(seed, "presenting")).then(extract(text, "presenting"))
    answering = pl.coalesce(opening, presenting)
    found, expected = language.detect(text), language.detect(seed)
    # The language of a short text is uncertain if several languages share its script.
    enough = (word_count(seed) >= _SURE_WORDS) & (word_count(text) > _SURE_WORDS)
    changed = language.differs(found, expected) & (language.scripts_differ(found, expected) | enough)
    debris = extract(text, "corpus_debris")
    repeated = _find_repeated(text)
    repeats = ~_ON_ITS_TEXT & repeated.is_not_null() & _find_repeated(seed).is_null()
    harm = safety.find_harm(text)
    harmful = harm.is_not_null() | (judged_harm > settings.max_harm)
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
        Rule("corpus_debris", ~has(text, "speaks_of_tokens") & debris.is_not_null(), debris),
        Rule("leaked_prompt", leaked.is_not_null(), leaked),
        Rule("answer_instead_of_request", answering.is_not_null(), answering),
        Rule("no_request", ~asks(text), text.str.slice(0, 80)),
        Rule("identical", _strip_punctuation(text) == _strip_punctuation(seed), similarity),
        Rule("language_changed", changed, found, "the seed's language"),
        Rule("harmful", harmful, judged_harm, settings.max_harm, harm),
        Rule("lost_material", IN_DEPTH & lost.is_not_null(), lost),
        Rule("missing_context", missing.is_not_null(), missing),
        Rule("repeats_itself", repeats, repeated),
        Rule("nothing_added", IN_DEPTH & (new < wanted), new, wanted),
        Rule("too_many_words", EVOLVES & (added > settings.max_added_words), added, settings.max_added_words),
        Rule("no_gain", ~_ON_ITS_TEXT & (similarity > settings.max_similarity), similarity, settings.max_similarity),
        Rule("lost_subject", IN_DEPTH & (similarity < settings.min_similarity), similarity, settings.min_similarity),
        Rule("answers_the_seed", EVOLVES & (nearer_answer > 0), nearer_answer, 0),
        Rule("same_request", same > settings.max_same, same, settings.max_same),
        Rule("no_gain_by_judge", IN_DEPTH & (gain < settings.min_gain), gain, settings.min_gain),
    ]


def _strip_punctuation(text: pl.Expr) -> pl.Expr:
    """Normalize a text and remove final punctuation, but not the exclamation mark of a factorial."""
    return normalize_text(text).str.replace(r"[.?。\s]+$", "").str.replace(r"(\p{L})!+$", "$1")


def _find_repeated(text: pl.Expr) -> pl.Expr:
    """Return the first sentence that a text repeats outside code and tables, or null."""
    prose = material.extract_prose(text).str.replace_all("\n", ".", literal=True)
    sentences = normalize_text(prose).str.extract_all(r"[^.?!。？！\n]+")
    sentences = sentences.list.eval(pl.element().str.strip_chars().filter(word_count(pl.element()) >= _TELLING_WORDS))
    return sentences.list.eval(pl.element().filter(pl.element().is_duplicated())).list.first()


def _content_words(text: pl.Expr) -> pl.Expr:
    """Return the content words of a text, without plural endings, and the signs in formulas."""
    words = tokens(text).list.set_difference(pl.lit(pl.Series([_ADDS_NOTHING.split()])))
    stems = words.list.eval(pl.element().str.replace("(.{2})(?:es|s|e)$", "$1"))
    return stems.list.concat(text.str.extract_all(_PATTERNS["sign"]).list.eval(pl.element().str.replace_all(r"\s", "")))


def _count_words(text: pl.Expr) -> pl.Expr:
    """Count words; two CJK characters count as one."""
    return word_count(text).cast(pl.Int64) - text.str.count_matches(f"[{CJK}]").cast(pl.Int64) // 2
