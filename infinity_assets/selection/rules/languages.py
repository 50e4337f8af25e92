"""Answers in another script than their prompt."""

import polars as pl

from infinity_assets.scoring import language
from infinity_assets.selection.rules.patterns import read_patterns

_PATTERNS = read_patterns("languages")
_SCRIPTS = {
    r"\p{Han}": ("zh",),
    r"[\p{Hiragana}\p{Katakana}\p{Han}]": ("ja",),
    r"\p{Hangul}": ("ko",),
    r"\p{Cyrillic}": ("ru", "uk", "bg", "be", "sr", "mk", "kk"),
    r"\p{Arabic}": ("ar", "fa", "ur"),
    r"\p{Devanagari}": ("hi", "mr", "ne"),
    r"\p{Greek}": ("el",),
    r"\p{Thai}": ("th",),
    r"\p{Hebrew}": ("he",),
}
"""Patterns for a letter of the most frequent scripts, with their languages."""
_LONG = 200
"""Characters from which a Latin answer is more than a sentence about a word."""

SAME = 0
ASKED = 1
UNASKED = 2


def asks_for_another(prompt: pl.Expr) -> pl.Expr:
    """Return whether a prompt asks for a translation or names the language of the answer."""
    return prompt.str.contains(_PATTERNS["asked"])


def grade_other_language(texts: pl.DataFrame) -> pl.Series:
    """Grade whether the answer leaves the script of the prompt: 0, 1 or 2, as in the rule `wrong_language`.

    A change of script counts as requested if the prompt asks for a language or contains the answer's script: a letter
    of it, or for Latin script, which texts in every other script quote, a word if the answer is short and a phrase if
    it is long. Names, terms and code do not count as a language.

    Args:
        texts: prompt, answer, prompt_language, answer_language, is_translation, code_language.
    """
    differ = texts.select(
        language.scripts_differ(pl.col("prompt_language"), pl.col("answer_language")).fill_null(False)
    ).to_series()
    few = texts.filter(differ)
    prompt = pl.col("prompt")
    answer = pl.col("answer")
    tag = pl.col("answer_language")
    script, *more = ((tag.is_in(tags), prompt.str.contains(letter)) for letter, tags in _SCRIPTS.items())
    quoted = pl.when(script[0]).then(script[1])
    for in_script, contains in more:
        quoted = quoted.when(in_script).then(contains)
    mixed = answer.str.contains(_PATTERNS["other"])
    latin = (
        pl.when(answer.str.len_chars() < _LONG)
        .then(prompt.str.contains(_PATTERNS["latin_word"]))
        .otherwise(prompt.str.contains(_PATTERNS["latin_text"]))
    )
    quoted = (
        quoted.when(~mixed & ~answer.str.contains(_PATTERNS["sentence"]))
        .then(True)
        .when(mixed)
        .then(prompt.str.contains(_PATTERNS["other"]))
        .otherwise(latin)
    )
    asked = few.select(
        (quoted | pl.col("is_translation") | pl.col("code_language").is_not_null()).fill_null(False)
    ).to_series()
    level = pl.repeat(SAME, texts.height, dtype=pl.Int8, eager=True)
    return level.scatter(
        differ.arg_true(), pl.select(pl.when(asked).then(ASKED).otherwise(UNASKED).cast(pl.Int8)).to_series()
    )
