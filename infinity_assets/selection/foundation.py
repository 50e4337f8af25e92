"""InfInstruct-F: rules of form, scores, a ranking per domain, diversity, quotas.

rules       rows that no training set should hold, and rows whose scores say the same
ranking     DSIR for the domains that have a target, judge score and IFD for the others; the chat seeds come first (the paper replays them)
diversity   of rows that are too close, the one ranked highest (selection/diversity.py)
quota       a share of each domain, from `domain_budget`
"""

import re

import numpy as np
import polars as pl

from infinity_assets.rows import conversation, grammar
from infinity_assets.scoring import language
from infinity_assets.selection.dsir import drawing
from infinity_assets.selection.rules import Rule
from infinity_assets.settings import Foundation

_TRANSLATION = (
    r"(?i)translat|翻译|译成|译为|用英文|用英语|用中文|in (?:english|chinese|french|german|spanish|japanese|korean|russian|italian)"
)
_DEBRIS = "|".join([*(re.escape(mark) for mark in grammar.DEBRIS), r"###\s*(?:Instruction|Response):"])
_IDENTITY = (
    r"(?i)\b(?:i am|i'm|as) (?:an? )?(?:chatgpt|gpt-?[34]|claude|ai language model|large language model (?:trained|created) by)|由OpenAI"
)
_REFUSAL = (
    r"(?i)^\W*(?:(?:i'?m |i am )?sorry,? (?:but )?)?"
    r"(?:as an ai\b|i (?:can'?t|cannot|am unable to|am not able to) (?:help|assist|answer|comply|fulfil|provide))"
    r"|^\W*(?:(?:对不起|抱歉)[，,]?)?(?:作为(?:一个)?(?:人工智能|AI)|我(?:无法|不能)(?:回答|提供|满足|完成))"
)


def describe(rows: pl.DataFrame) -> pl.DataFrame:
    """What the rules read of the text of a row: prompt, answer, their languages."""
    prompt, answer = conversation.content_of("user"), conversation.answer().fill_null("")
    return rows.with_columns(prompt.alias("prompt"), answer.alias("answer")).with_columns(
        language.detect(pl.col("prompt")).alias("prompt_language"), language.detect(pl.col("answer")).alias("answer_language")
    )


def form_rules(settings: Foundation) -> list[Rule]:
    """Rules that need no model."""
    answer, chars = pl.col("answer"), pl.col("answer").str.len_chars()
    scripts_differ = language.scripts_differ(pl.col("prompt_language"), pl.col("answer_language"))
    return [
        Rule("no_answer", pl.col("kind") != "conversation", pl.col("kind"), "conversation"),
        Rule("answer_too_short", chars < settings.min_answer_chars, chars, settings.min_answer_chars),
        Rule("answer_too_long", chars > settings.max_answer_chars, chars, settings.max_answer_chars),
        Rule("template_debris", answer.str.contains(_DEBRIS), answer.str.extract(f"({_DEBRIS})", 1)),
        Rule("identity_leak", answer.str.contains(_IDENTITY), answer.str.extract(f"({_IDENTITY})", 1)),
        Rule("refusal", answer.str.contains(_REFUSAL), answer.str.slice(0, 60)),
        Rule(
            "wrong_language",
            scripts_differ & (pl.col("domain") != "code") & ~pl.col("prompt").str.contains(_TRANSLATION),
            pl.col("answer_language"),
            "the language of the prompt",
        ),
    ]


def score_rules(settings: Foundation) -> list[Rule]:
    """Rules on scores by models: rows that were not scored pass."""
    return [
        Rule("instruction_does_not_help", pl.col("ifd") >= settings.max_ifd, pl.col("ifd"), settings.max_ifd),
        Rule("low_quality", pl.col("quality") < settings.min_quality, pl.col("quality"), settings.min_quality),
    ]


def budget(available: pl.DataFrame, settings: Foundation) -> pl.DataFrame:
    """How many rows each domain may bring.

    Args:
        available: Columns domain and rows: conversations of the pool after decontamination.
        settings: The recipe.

    Returns:
        One line per domain: domain, available, keep_share, quota, reason.
    """
    share = pl.col("domain").replace_strict(dict(settings.keep_share), default=0.0, return_dtype=pl.Float64)
    wanted = available.with_columns(share.alias("keep_share")).with_columns((pl.col("rows") * share).ceil().cast(pl.Int64).alias("wanted"))
    shrink = min(1.0, settings.max_rows / max(int(wanted["wanted"].sum()), 1))
    quota = (pl.col("wanted") * shrink).floor().cast(pl.Int64)
    reason = (
        pl.lit("share of the domain")
        if shrink == 1.0
        else pl.lit(f"share of the domain, times {shrink:.3f} for at most {settings.max_rows} rows")
    )
    return wanted.select(
        "domain", pl.col("rows").cast(pl.Int64).alias("available"), "keep_share", quota.alias("quota"), reason.alias("reason")
    ).sort("domain")
