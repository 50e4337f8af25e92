"""Detection of requests that refer to missing material: "this review" without a review, "the given options"."""

from pathlib import Path

import polars as pl

from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("context.yaml"))


def find_missing(text: pl.Expr) -> pl.Expr:
    """Return the words of a text that refer to missing material, or to a subject that the text does not name.

    The result is null if there are no such words, or the text is null.
    """
    refers = pl.coalesce(
        _PATTERNS.extract(text, "refers"),
        _PATTERNS.extract(text, "refers_zh"),
        _find_pointer(text, "points", "spoken_of"),
        _find_pointer(text, "points_zh", "spoken_of_zh"),
    )
    quoted = _PATTERNS.contains(text, "quoted") & ~_PATTERNS.contains(refers, "longer")
    brought = _PATTERNS.contains(text, "brought") | quoted
    return pl.when(~brought & ~_PATTERNS.contains(text, "makes")).then(refers)


def _find_pointer(text: pl.Expr, points: str, spoken_of: str) -> pl.Expr:
    """Return the text up to a reference such as "this film", or null if an earlier word could be its subject."""
    pointer = _PATTERNS[points]
    return pl.when(~_PATTERNS.contains(text.str.extract(pointer, 1), spoken_of)).then(text.str.extract(pointer, 0))
