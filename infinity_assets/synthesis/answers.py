"""Degenerate answers: what a teacher-distilled set does not tolerate (recipe 7.12), by class."""

import polars as pl

from infinity_assets.rows.grammar import DEBRIS
from infinity_assets.scoring import language
from infinity_assets.selection.rules import Rule

_SHIRKING = (
    r"(?i)please provide|i'?m sorry,? but|as an? (?:ai\b|chatbot|language model)|i'?m not capable of"
    r"|i (?:can'?t|cannot|am unable to) (?:help|assist|answer|provide)"
    r"|请提供|作为一个?人工智能|我(?:无法|不能)(?:回答|提供)"
)
_MIN_DISTINCT = 0.25
"""Below this share of distinct lines or sentences an answer is a loop. Prose by people lies above 0.9."""


def rules() -> list[Rule]:
    """In the order in which they are tried. They read: text (the answer), request, finish_reason, error."""
    text = pl.col("text")
    sentences = text.str.extract_all(r"[^.!?。！？\n]{4,}").list.eval(pl.element().str.strip_chars())
    distinct = sentences.list.n_unique() / sentences.list.len()
    answer_language, request_language = language.detect(text), language.detect(pl.col("request"))
    return [
        Rule("no_answer", text.is_null() | (text.str.strip_chars() == ""), pl.col("error")),
        Rule("truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule("template_debris", text.str.contains_any(list(DEBRIS)), text.str.slice(0, 60)),
        Rule("shirking", text.str.contains(_SHIRKING), text.str.extract(f"({_SHIRKING})", 1)),
        Rule("loop", (sentences.list.len() >= 4) & (distinct < _MIN_DISTINCT), distinct, _MIN_DISTINCT),
        Rule(
            "wrong_language",
            language.differs(answer_language, request_language)
            & (answer_language.is_in(["zh", "ja", "ko"]) | request_language.is_in(["zh", "ja", "ko"])),
            answer_language,
            "the request's language",
        ),
    ]
