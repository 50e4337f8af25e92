"""The numbers that the rules hold against thresholds, from the texts of rows. No model is asked, no threshold is known here."""

import polars as pl

from infinity_assets.rows import conversation
from infinity_assets.scoring import language
from infinity_assets.selection.rules import artefacts, code, form, identity, languages, refusals

MEASURES = pl.Schema(
    {
        "row_id": pl.String,
        "answers": pl.UInt32,
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
        **code.MEASURED,
    }
)
"""One line per row; measures of the answer are null where there is none."""

MEANING = {
    "answers": "assistant turns",
    "prompt_chars": "characters of all user turns",
    "answer_chars": "characters of the last answer",
    "answer_words": "words, numbers and CJK characters of the last answer",
    "repeated_lines": "share of the last answer's lines that stand in it before; null under four lines",
    "repeated_runs": "share of the last answer's runs of ten words that stand in it before; null under ten words",
    "prompt_language": "language of all user turns",
    "answer_language": "language of the last answer",
    "is_translation": "whether the prompt asks for another language",
    "other_language": "0: answer in the prompt's script; 1: in another, and asked for; 2: in another, unasked",
    "debris": "0: no mark of a template in the answers; 1: turns of a dialogue that was asked for; 2: the same unasked, or a mark",
    "debris_span": "the first of them",
    "calculator_marks": "calculator notes and result marks in the answers",
    "calculator_mark": "the first of them",
    "tool_marks": "calls of tools and marks of their results in the answers",
    "tool_mark": "the first of them",
    "placeholders": "places in the answers that their author was to fill in",
    "placeholder": "the first of them",
    "unfinished": "0: the last answer ends; 1: long, without a sign at its end; 2: stops in the middle",
    "ending": "its end, where it is not 0",
    "identity": "0: no model named; 1: named; 2: the speaker is one, in a part; 3: the speaker is one",
    "identity_span": "the words that say so",
    "refusal_span": "how the last answer declines, where it begins by declining",
    "code_language": "language of the code in the last answer, `other` if it is no known one, null without code",
    "code_lines": "lines and pieces of code in the last answer",
    "prompt_code_lines": "the same in the prompts of the code domain, else 0",
    "code_terms": "words of programming in prompt and answer of the code domain, else 0",
    "python_parses": "whether the answer's Python parses; null where it is not Python or mixed with prose",
    "python_note": "why it does not, or why that is not known: no_code, not_python, mixed_with_prose",
    "network": "0: no code, or none that names the network; 1: named; 2: used",
    "network_span": "how",
    "files": "0: no code, or none that names files; 1: named; 2: used",
    "files_span": "how",
}
"""Descriptions of the columns."""

_ENDING, _SPAN = 60, 120


def measure(rows: pl.DataFrame) -> pl.DataFrame:
    """The measures of every row.

    Args:
        rows: row_id, messages, domain.

    Returns:
        Columns as `MEASURES`, in the order of the rows.
    """
    texts = rows.select(
        "row_id",
        "domain",
        prompt=conversation.content_of("user"),
        answer=conversation.answer(),
        said=conversation.content_of("assistant"),
        answers=conversation.turns_of("assistant").list.len(),
    )
    answer, said, prompt = pl.col("answer"), pl.col("said"), pl.col("prompt")
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
        artefacts.debris(prompt, said).alias("debris"),
        pl.coalesce(_span(said, artefacts.MARKS), _span(said, artefacts.EXCHANGE)).alias("debris_span"),
        *_counted(said, artefacts.CALCULATOR, "calculator_mark"),
        *_counted(said, artefacts.TOOLS, "tool_mark"),
        *_counted(said, artefacts.PLACEHOLDER, "placeholder"),
        artefacts.unfinished(answer).alias("unfinished"),
        identity.identity(texts).alias("identity"),
        _span(answer, refusals.OPENING).alias("refusal_span"),
    )
    of_code = code.measure(texts.select("prompt", "answer", "domain"))
    answered = pl.when(answer.is_not_null())
    frame = frame.with_columns(answered.then(of_code[name]).alias(name) for name in code.MEASURED).with_columns(
        answered.then("words").alias("answer_words"),
        pl.when(pl.col("unfinished") > 0).then(answer.str.tail(_ENDING)).alias("ending"),
        pl.when(pl.col("identity") > 0)
        .then(pl.coalesce(_span(said, identity.CLAIM), _span(said, identity.MENTION)))
        .alias("identity_span"),
    )
    frame = frame.with_columns(languages.other_language(frame).alias("other_language"))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in MEASURES.items())


def _span(text: pl.Expr, pattern: str) -> pl.Expr:
    """The first place where a pattern stands."""
    return text.str.extract(f"({pattern})", 1).str.strip_chars().str.slice(0, _SPAN)


def _counted(text: pl.Expr, pattern: str, name: str) -> tuple[pl.Expr, pl.Expr]:
    """How often a pattern stands, and where first."""
    return text.str.count_matches(pattern).alias(f"{name}s"), _span(text, pattern).alias(name)
