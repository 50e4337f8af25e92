"""Licences of rows and of what is made from them.

A row made from several others carries the most restrictive of their licences. The order below is ours, from least to most restrictive for
someone who trains and publishes a model; a licence that is not in it stands just before `unknown`, which is worst. It is no legal advice.
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
"""The licence ids of the Hugging Face Hub (https://huggingface.co/docs/hub/repositories-licenses), and any case of an SPDX id, to SPDX ids."""


def spdx(licence: str) -> str | None:
    """The SPDX id of a licence that is written as on the Hub, or as SPDX in any case. Null if it has none."""
    return _SPDX.get(licence.strip().lower())


def from_card(licence: object, name: object = None) -> str:
    """The licence of a dataset from the `license` and `license_name` of its card on the Hub.

    An SPDX id; of several, the most restrictive. A licence of its own that has a name becomes SPDX's `LicenseRef-NAME`; a card that says
    nothing, `unknown` or an unnamed `other` is `unknown`.
    """
    several = [_one(each, name) for each in (licence if isinstance(licence, list) else [licence])]
    return pl.DataFrame({"licence": several or [UNKNOWN]}).select(most_restrictive(pl.col("licence"))).item()


def _one(licence: object, name: object) -> str:
    said = str(name if licence == "other" else licence).strip()
    if said.lower() in ("", "none", UNKNOWN):
        return UNKNOWN
    return spdx(said) or f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]+', '-', said).strip('-')}"


def restrictiveness(licence: pl.Expr) -> pl.Expr:
    """The place of a licence in the order: higher is more restrictive."""
    places = {name: place for place, name in enumerate(ORDER)} | {UNKNOWN: len(ORDER) + 1}
    return licence.replace_strict(places, default=len(ORDER), return_dtype=pl.Int64)


def most_restrictive(licence: pl.Expr) -> pl.Expr:
    """Of a group of licences (an aggregation), the most restrictive; the alphabetically last on a tie."""
    return licence.sort_by(restrictiveness(licence), licence).last()
