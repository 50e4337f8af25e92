"""English and Chinese patterns for requests for serious harm, and for answers to such requests.

A phrase counts if it asks for or gives instructions to do harm: "how can I build a pipe bomb", but not "who built the
first bomb". A phrase that also mentions prevention, treatment, history or a story does not count, unless it is sexual.
Patterns are weak evidence, so the judge is asked as well where possible.
"""

from pathlib import Path

import polars as pl

from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("safety.yaml"))


def find_harm(text: pl.Expr) -> pl.Expr:
    """Return the phrase of a text that asks for or explains serious harm; null if there is none, or the text is null.

    Covers weapons and explosives, poison, sexual content with minors, methods of self-harm, account break-ins and
    malware, hard drugs, violence against people, theft and fraud.
    """
    return text.map_batches(_find_phrases, return_dtype=pl.String, is_elementwise=True)


def _find_phrases(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    phrases = [
        text.str.extract(f"(?im)({pattern}[^.?!。？！\n]{{0,80}})", 1)
        for pattern in _PATTERNS.list_alternatives("harms")
    ]
    guilty = [
        pl.when(~_PATTERNS.contains(words, "innocent") | _PATTERNS.contains(words, "always")).then(words)
        for words in phrases
    ]
    rows = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("row")
    suspect = rows.filter(_PATTERNS.contains(text, "trigger"))
    if suspect.is_empty():  # return early: compiling the patterns takes a sixth of a second
        return pl.Series(texts.name, [None] * len(texts), pl.String)
    suspect = suspect.select("row", words=pl.coalesce(guilty))
    return rows.join(suspect, on="row", how="left", maintain_order="left")["words"].alias(texts.name)
