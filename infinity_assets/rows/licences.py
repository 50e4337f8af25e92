"""Licenses of rows and of texts derived from them.

A row made from several others carries the most restrictive of their licenses. The file `licences.yaml` lists licenses
from least to most restrictive for someone who trains and publishes a model. A license outside the list ranks above it,
and `unknown` ranks highest. The order is our own and not legal advice.
"""

import re
from pathlib import Path

import polars as pl

from infinity_assets.rows.words import load_words

UNKNOWN = "unknown"

_WORDS = load_words(Path(__file__).with_name("licences.yaml"))

ORDER: tuple[str, ...] = tuple(_WORDS["order"])

_SPDX = {licence.lower(): licence for licence in (*ORDER, *_WORDS["others"])} | _WORDS["hub"]
"""SPDX ids by name in lower case: SPDX's own names and those of the Hugging Face Hub."""


def spdx(licence: str) -> str | None:
    """Return the SPDX id of a license by its name on the Hub or in SPDX, ignoring case; `None` if it has no id."""
    return _SPDX.get(licence.strip().lower())


def licence_from_card(licence: object, name: object = None) -> str:
    """Return the license of a dataset from the `license` and `license_name` of its card on the Hub.

    The result is an SPDX id, for several licenses that of the most restrictive. A named custom license becomes SPDX's
    `LicenseRef-NAME`. A missing license, `unknown` and an unnamed `other` become `unknown`.
    """
    licences = [_normalize(each, name) for each in (licence if isinstance(licence, list) else [licence])]
    return pl.DataFrame({"licence": licences or [UNKNOWN]}).select(most_restrictive(pl.col("licence"))).item()


def _normalize(licence: object, name: object) -> str:
    text = str(name if licence == "other" else licence).strip()
    if text.lower() in ("", "none", UNKNOWN):
        return UNKNOWN
    return spdx(text) or f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]+', '-', text).strip('-')}"


def restrictiveness(licence: pl.Expr) -> pl.Expr:
    """Return the rank of a license: higher is more restrictive."""
    ranks = {name: rank for rank, name in enumerate(ORDER)} | {UNKNOWN: len(ORDER) + 1}
    return licence.replace_strict(ranks, default=len(ORDER), return_dtype=pl.Int64)


def most_restrictive(licence: pl.Expr) -> pl.Expr:
    """Aggregate a group of licenses to the most restrictive one; the alphabetically last on a tie."""
    return licence.sort_by(restrictiveness(licence), licence).last()
