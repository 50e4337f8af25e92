"""Requests for serious harm, by plain patterns."""

import polars as pl

_HARMS = (
    r"(?i)(?:how (?:do|can|could) (?:i|we)|how to|steps to) (?:build|make|assemble) (?:a |an )?(?:pipe )?bombs?\b",
    r"(?:怎么|怎样|如何)(?:自制|制造|制作)炸弹",
)


def harmful(text: pl.Expr) -> pl.Expr:
    """The words of a text that ask for serious harm or tell how to do it; null where there are none, or where it is null."""
    return pl.coalesce(text.str.extract(f"({pattern})", 1) for pattern in _HARMS)
