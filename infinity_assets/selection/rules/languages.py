"""Answers in another script than their prompt."""

import polars as pl

from infinity_assets.scoring import language
from infinity_assets.selection.rules.patterns import read_patterns, read_section

_PATTERNS = read_patterns("languages")
_SCRIPTS = read_section("scripts")
"""Languages of the most frequent scripts, by a pattern for a letter of the script."""
_LONG = 200
"""Characters from which a Latin answer is long: it is then more than a sentence about a word."""

SAME = 0
ASKED = 1
UNASKED = 2


def asks_for_another(prompt: pl.Expr) -> pl.Expr:
    """Return whether a prompt asks for a translation or names a language for the answer."""
    return prompt.str.contains(_PATTERNS["asked"])


def grade_other_language(texts: pl.DataFrame) -> pl.Series:
    """Grade whether the answer leaves the script of the prompt: 0, 1 or 2, as described in the rule `wrong_language`.

    A change of script counts as requested if the prompt asks for a language or quotes the answer's script. One letter
    is a quotation, except in Latin script, which texts in all other scripts use: there a short answer needs a word in
    the prompt, and a long answer a phrase. Names, terms and code do not count as a language.

    Args:
        texts: Columns prompt, answer, prompt_language, answer_language, is_translation and code_language.
    """
    scripts_differ = language.scripts_differ(pl.col("prompt_language"), pl.col("answer_language"))
    differ = texts.select(scripts_differ.fill_null(False)).to_series()
    prompt = pl.col("prompt").fill_null("")
    answer = pl.col("answer")
    mixed = answer.str.contains(_PATTERNS["other"])
    # The first case that applies decides whether the prompt quotes the script.
    cases = [
        *((pl.col("answer_language").is_in(tags), prompt.str.contains(letter)) for letter, tags in _SCRIPTS.items()),
        (~mixed & ~answer.str.contains(_PATTERNS["sentence"]), pl.lit(True)),
        (mixed, prompt.str.contains(_PATTERNS["other"])),
        (answer.str.len_chars() < _LONG, prompt.str.contains(_PATTERNS["latin_word"])),
        (pl.lit(True), prompt.str.contains(_PATTERNS["latin_text"])),
    ]
    quoted = pl.coalesce(pl.when(case).then(quotes) for case, quotes in cases)
    asked = (quoted | pl.col("is_translation") | pl.col("code_language").is_not_null()).fill_null(False)
    graded = texts.filter(differ).select(pl.when(asked).then(ASKED).otherwise(UNASKED).cast(pl.Int8)).to_series()
    return pl.repeat(SAME, texts.height, dtype=pl.Int8, eager=True).scatter(differ.arg_true(), graded)
