"""Detection of requests that refer to missing material: "this review" without a review, "the given options"."""

from pathlib import Path

import polars as pl

from infinity_assets.synthesis.patterns import Patterns

_PATTERNS = Patterns(Path(__file__).with_name("context.yaml"))


def find_missing(text: pl.Expr) -> pl.Expr:
    """Return the words of a text that refer to material that it lacks, or to a subject that it does not name.

    The result is null if there are no such words, or the text is null.
    """
    refers = pl.coalesce(
        _PATTERNS.extract(text, "refers"),
        _PATTERNS.extract(text, "refers_zh"),
        _find_pointer(text, _PATTERNS["points"], _PATTERNS["spoken_of"]),
        _find_pointer(text, _PATTERNS["points_zh"], _PATTERNS["spoken_of_zh"]),
    )
    brought = _PATTERNS.contains(text, "brought") | (
        _PATTERNS.contains(text, "quoted") & ~_PATTERNS.contains(refers, "longer")
    )
    return pl.when(~brought & ~_PATTERNS.contains(text, "makes")).then(refers)


def _find_pointer(text: pl.Expr, points: str, spoken_of: str) -> pl.Expr:
    """Return the words up to a reference such as "this film", if nothing in them could be its subject."""
    return pl.when(~text.str.extract(points, 1).str.contains(spoken_of)).then(text.str.extract(points, 0))
