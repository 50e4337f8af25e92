"""Measures of rows' texts, which the rules compare with thresholds. No model is called."""

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.rows.frames import conform
from infinity_assets.scoring import language
from infinity_assets.selection.rules import artefacts, code, form, identity, languages, refusals

MEASURES = pl.Schema(
    {
        "row_id": pl.String,
        "answers": pl.UInt32,
        "marked_wrong": pl.Boolean,
        "prompt_chars": pl.UInt32,
        "answer_chars": pl.UInt32,
        "answer_words": pl.UInt32,
        "repeated_lines": pl.Float32,
        "repeated_runs": pl.Float32,
        "prompt_language": pl.String,
        "answer_language": pl.String,
        "is_translation": pl.Boolean,
        "other_language": pl.Int8,
        "debris": pl.Int8,
        "debris_span": pl.String,
        "calculator_marks": pl.UInt32,
        "calculator_mark": pl.String,
        "tool_marks": pl.UInt32,
        "tool_mark": pl.String,
        "placeholders": pl.UInt32,
        "placeholder": pl.String,
        "unfinished": pl.Int8,
        "ending": pl.String,
        "identity": pl.Int8,
        "identity_span": pl.String,
        "refusal_span": pl.String,
        "code_language": pl.String,
        "code_lines": pl.UInt32,
        "prompt_code_lines": pl.UInt32,
        "code_terms": pl.UInt32,
        "python_parses": pl.Boolean,
        "python_note": pl.String,
        "network": pl.Int8,
        "network_span": pl.String,
        "files": pl.Int8,
        "files_span": pl.String,
    }
)
"""Grain: a row. Key: row_id. Measures of the answer are null if there is no answer."""


_ENDING = 60
_SPAN = 120


def measure(rows: pl.DataFrame, marked_wrong: pl.Series | None = None) -> pl.DataFrame:
    """Measure rows with the columns row_id, messages and domain: schema `MEASURES`, in the order of the rows.

    Args:
        marked_wrong: Ids of rows whose answer is wrong by the word of a dataset. Default: none.
    """
    texts = rows.select(
        "row_id",
        "domain",
        prompt=conversation.content_of("user"),
        answer=conversation.answer(),
        said=conversation.content_of("assistant"),
        answers=conversation.turns_of("assistant").list.len(),
    )
    answer = pl.col("answer")
    answers = pl.col("said")
    prompt = pl.col("prompt")
    words, repeated = form.repeated_runs(texts["answer"])
    frame = texts.with_columns(
        prompt.str.len_chars().alias("prompt_chars"),
        answer.str.len_chars().alias("answer_chars"),
        pl.Series("words", words),
        pl.Series("repeated_runs", repeated, nan_to_null=True),
        form.repeated_lines(answer).alias("repeated_lines"),
        language.detect(prompt).alias("prompt_language"),
        pl.when(answer.is_not_null()).then(language.detect(answer)).alias("answer_language"),
        languages.asks_for_another(prompt).alias("is_translation"),
        artefacts.grade_debris(prompt, answers).alias("debris"),
        pl.coalesce(_span(answers, artefacts.MARKS), _span(answers, artefacts.EXCHANGE)).alias("debris_span"),
        *_count_and_span(answers, artefacts.CALCULATOR, "calculator_mark"),
        *_count_and_span(answers, artefacts.TOOLS, "tool_mark"),
        *_count_and_span(answers, artefacts.PLACEHOLDER, "placeholder"),
        artefacts.grade_unfinished(answer).alias("unfinished"),
        identity.identity(texts).alias("identity"),
        _span(answer, refusals.OPENING).alias("refusal_span"),
    )
    code_measures = code.measure(texts.select("prompt", "answer", "domain"))
    answered = pl.when(answer.is_not_null())
    frame = frame.with_columns(answered.then(measured).alias(measured.name) for measured in code_measures)
    named = pl.coalesce(_span(answers, identity.CLAIM), _span(answers, identity.MENTION))
    frame = frame.with_columns(
        marked_wrong=pl.col("row_id").is_in(
            (pl.Series([], dtype=pl.String) if marked_wrong is None else marked_wrong).implode()
        ),
        answer_words=answered.then("words"),
        ending=pl.when(pl.col("unfinished") > 0).then(answer.str.tail(_ENDING)),
        identity_span=pl.when(pl.col("identity") > 0).then(named),
    )
    frame = frame.with_columns(languages.grade_other_language(frame).alias("other_language"))
    return conform(frame, MEASURES)


def _span(text: pl.Expr, pattern: str) -> pl.Expr:
    """Return the first match of a pattern, cut to `_SPAN` characters."""
    return text.str.extract(f"({pattern})", 1).str.strip_chars().str.slice(0, _SPAN)


def _count_and_span(text: pl.Expr, pattern: str, name: str) -> tuple[pl.Expr, pl.Expr]:
    """Return the number of matches of a pattern, and the first match."""
    return text.str.count_matches(pattern).alias(f"{name}s"), _span(text, pattern).alias(name)
