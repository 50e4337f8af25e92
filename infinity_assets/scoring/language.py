"""The language of a text, by rule: its scripts, and for Latin letters the small words that each language cannot do without.

Deterministic and fast; it knows the languages listed here and says `und` where it cannot tell. A text that is mostly code reads as `und`
or `en`.
"""

import polars as pl

_SCRIPTS: dict[str, str] = {
    "ja": r"[\p{Hiragana}\p{Katakana}]",
    "ko": r"\p{Hangul}",
    "zh": r"\p{Han}",
    "ru": r"\p{Cyrillic}",
    "el": r"\p{Greek}",
    "ar": r"\p{Arabic}",
    "he": r"\p{Hebrew}",
    "hi": r"\p{Devanagari}",
    "bn": r"\p{Bengali}",
    "ta": r"\p{Tamil}",
    "te": r"\p{Telugu}",
    "gu": r"\p{Gujarati}",
    "or": r"\p{Oriya}",
    "th": r"\p{Thai}",
}
"""Languages told by their script. Of several languages in one script the most spoken stands for all."""

_SMALL_WORDS: dict[str, str] = {
    "en": "the|of|and|to|is|in|a|that|for|it|with|as|are|on|be|this|was|you|what|how|do|i|my|your|an|not|can|me|we|at|by|from|have|has",
    "de": "der|die|das|und|ist|nicht|ein|eine|zu|mit|von|den|auf|ich|sie|es|wie|für|sind|dem|im|du|was|wir|kann",
    "fr": "le|la|les|des|et|est|un|une|que|pour|dans|qui|pas|vous|je|du|sur|avec|ce|il|au|quoi|nous|tu|suis",
    "es": "el|los|las|de|que|y|es|en|un|una|por|con|para|no|se|qué|del|como|cómo|lo|su|te|eres|mi|muy",
    "it": "il|di|che|è|e|un|una|per|non|con|sono|della|gli|come|si|le|del|cosa|mi|ti|sei|anche|più",
    "pt": "o|os|as|que|e|é|um|uma|não|para|com|do|da|em|você|como|se|eu|por|mais|meu|está|são",
    "nl": "de|het|een|en|van|is|niet|ik|je|dat|op|te|zijn|met|voor|wat|hoe|er|aan",
    "sv": "och|att|det|är|en|ett|som|på|av|jag|inte|för|med|den|du|vad|har",
    "id": "yang|dan|di|ini|itu|tidak|apa|saya|anda|untuk|dengan|adalah|dari|ke|kamu",
    "tr": "bir|ve|bu|ne|için|mi|çok|da|değil|ben|sen|var|nasıl|ile",
    "vi": "là|của|và|không|một|có|cho|tôi|bạn|được|những|trong|gì",
}
"""Frequent words per language in Latin letters."""

_MIN_SCRIPT_SHARE = 0.2
_MIN_KANA_SHARE = 0.05
_LOOKED_AT = 1000
"""Characters of a text that are looked at."""


def detect(text: pl.Expr) -> pl.Expr:
    """The BCP 47 tag of the language of a text: `und` where there are no letters or no evidence.

    A script decides if at least a fifth of the letters are of it: Chinese prose about code is full of Latin letters, English prose is not
    full of Chinese ones. Otherwise the Latin language whose small words are most frequent wins, the first of the list on a tie.
    """
    text = text.str.slice(0, _LOOKED_AT)
    letters = pl.max_horizontal(text.str.count_matches(r"\p{L}"), pl.lit(1))
    by_script = pl.coalesce(
        pl.when(text.str.count_matches(pattern) / letters >= (_MIN_KANA_SHARE if tag == "ja" else _MIN_SCRIPT_SHARE)).then(pl.lit(tag))
        for tag, pattern in _SCRIPTS.items()
    )
    # A list, so that every count is made once: Polars would make those of nested conditions again for each of them.
    votes = pl.concat_list(text.str.count_matches(rf"(?i)\b(?:{words})\b") for words in _SMALL_WORDS.values())
    winner = votes.list.arg_max().replace_strict(dict(enumerate(_SMALL_WORDS)), return_dtype=pl.String)
    return pl.coalesce(by_script, pl.when(votes.list.max() > 0).then(winner), pl.lit("und"))


def differs(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two tags name different languages for certain: `und` differs from nothing."""
    return (one != other) & (one != "und") & (other != "und")
