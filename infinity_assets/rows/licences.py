"""Licences of rows and of what is made from them.

A row made from several others carries the most restrictive of their licences. The order below is ours, from least to most restrictive for
someone who trains and publishes a model; a licence that is not in it stands just before `unknown`, which is worst. It is no legal advice.
"""

import polars as pl

UNKNOWN = "unknown"

ORDER: tuple[str, ...] = (
    "CC0-1.0",
    "PDDL-1.0",
    "Unlicense",
    "MIT-0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Apache-2.0",
    "CDLA-Permissive-2.0",
    "ODC-By-1.0",
    "CC-BY-4.0",
    "CC-BY-3.0",
    "ODbL-1.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "GPL-3.0-only",
    "CC-BY-ND-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-4.0",
)


def restrictiveness(licence: pl.Expr) -> pl.Expr:
    """The place of a licence in the order: higher is more restrictive."""
    places = {name: place for place, name in enumerate(ORDER)} | {UNKNOWN: len(ORDER) + 1}
    return licence.replace_strict(places, default=len(ORDER), return_dtype=pl.Int64)


def most_restrictive(licence: pl.Expr) -> pl.Expr:
    """Of a group of licences (an aggregation), the most restrictive; the alphabetically last on a tie."""
    return licence.sort_by(restrictiveness(licence), licence).last()
