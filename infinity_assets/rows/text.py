"""Polars expressions that normalize and tokenize texts for comparison."""

import polars as pl

CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts in which one character is one token: those without spaces between words, and Hangul, whose words inflect."""

TOKEN = rf"[{CJK}]|[\p{{L}}\p{{M}}\p{{N}}&&[^{CJK}]]+"
"""Matches a token: a word, a number, or one CJK character."""

FUNCTION_WORDS = (
    "the an and or but of to in on at by for with as is are was were be been am it its this that these those there here he she they we you i me my "
    "your his her our their so if then than do does did has have had a just also very "
    "的 了 和 与 在 啊 嗯 吧 呢 吗 哦 呀 是 就 也 都 着 那 这 之 而 且 但 所 以 因 为"
)
"""Tokens without a meaning of their own, separated by spaces."""


def normalize_text(text: pl.Expr) -> pl.Expr:
    """Normalize a text: NFKC, lower case, white space collapsed. Equal results count as equal content."""
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars(" ")


def tokens(text: pl.Expr) -> pl.Expr:
    """Return the tokens of a text, ignoring case and punctuation."""
    return text.str.normalize("NFKC").str.to_lowercase().str.extract_all(TOKEN)


def word_count(text: pl.Expr) -> pl.Expr:
    """Return the number of tokens."""
    return text.str.count_matches(TOKEN)


_ENCLOSED = r'(?s)^(?:“([^“”]*)”|「([^「」]*)」|『([^『』]*)』|"?([^"]*)"?)$'


def strip_quotes(text: pl.Expr) -> pl.Expr:
    """Remove quotation marks around a whole text, English or Chinese. A straight one may lack its partner."""
    bare = text.str.strip_chars()
    return bare.str.replace(_ENCLOSED, "${1}${2}${3}${4}").str.strip_chars()
