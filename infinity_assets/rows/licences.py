"""Licenses of rows and of texts derived from them.

A row made from several others carries the most restrictive of their licenses. The order below is our own, from least to
most restrictive for someone who trains and publishes a model; a license that is not in it ranks just before `unknown`,
which is worst. It is not legal advice.
"""

import re

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

_SPDX = {
    licence.lower(): licence
    for licence in (
        *ORDER,
        *(
            "AFL-3.0",
            "AGPL-3.0-only",
            "Artistic-2.0",
            "BSD-3-Clause-Clear",
            "BSL-1.0",
            "C-UDA-1.0",
            "CC-BY-2.0",
            "CC-BY-2.5",
        ),
        *(
            "CC-BY-NC-2.0",
            "CC-BY-NC-3.0",
            "CC-BY-NC-ND-3.0",
            "CC-BY-NC-SA-2.0",
            "CC-BY-NC-SA-3.0",
            "CDLA-Permissive-1.0",
        ),
        *(
            "CDLA-Sharing-1.0",
            "ECL-2.0",
            "EPL-1.0",
            "EPL-2.0",
            "etalab-2.0",
            "EUPL-1.1",
            "EUPL-1.2",
            "GPL-2.0-only",
            "ISC",
        ),
        *(
            "LGPL-2.1-only",
            "LGPL-3.0-only",
            "LPPL-1.3c",
            "MPL-2.0",
            "MS-PL",
            "NCSA",
            "OFL-1.1",
            "OSL-3.0",
            "PostgreSQL",
            "WTFPL",
            "Zlib",
        ),
    )
} | {
    "agpl-3.0": "AGPL-3.0-only",
    "c-uda": "C-UDA-1.0",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-lr": "LGPLLR",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}
"""SPDX ids by lower-case id: SPDX's own, and the Hugging Face Hub's
(https://huggingface.co/docs/hub/repositories-licenses)."""


def spdx(licence: str) -> str | None:
    """Return the SPDX id of a license written as on the Hub, or as SPDX in any case; None if it has no SPDX id."""
    return _SPDX.get(licence.strip().lower())


def licence_from_card(licence: object, name: object = None) -> str:
    """Return the license of a dataset from the `license` and `license_name` of its card on the Hub.

    The result is an SPDX id; of several, the most restrictive. A custom license with a name becomes SPDX's
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
