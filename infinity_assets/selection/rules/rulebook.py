"""All rules of the foundation, in order of precedence."""

import polars as pl

from infinity_assets.selection.rules import artefacts, code, form, identity, languages, refusals, scores, sources
from infinity_assets.selection.rules.rule import Bound, Rule
from infinity_assets.settings.foundation import Rules

BOUNDS: tuple[Bound, ...] = (
    *form.BOUNDS[:1],
    *sources.BOUNDS,
    *form.BOUNDS[1:],
    *artefacts.BOUNDS,
    *identity.BOUNDS,
    *refusals.BOUNDS,
    *languages.BOUNDS,
    *code.BOUNDS,
    *scores.BOUNDS,
)
"""All bounds, in order of precedence: missing answer, source, form, words, code, scores."""

BY_NAME = {bound.name: bound for bound in BOUNDS}

PLACE = ("row_id", "source", "file", "domain")
"""Columns of the rows that the rules read."""
SCORES = ("row_id", "ifd", "quality")
"""Columns of the scores that the rules read."""


def facts(rows: pl.DataFrame, measured: pl.DataFrame, scored: pl.DataFrame, settings: Rules) -> pl.DataFrame:
    """Join the columns that the rules read, one line per row, in the order of the rows.

    Args:
        rows: Columns `PLACE`, and any others.
        measured: Columns `measures.MEASURES`.
        scored: Columns `SCORES`; rows without scores are missing.
        settings: Settings with the list of denied parts.
    """
    joined = rows.join(measured, on="row_id", how="left", maintain_order="left").join(
        scored.select(SCORES), on="row_id", how="left", maintain_order="left"
    )
    return joined.with_columns(sources.match_denied(rows, settings.denied).alias("denied"))


def replace_threshold(settings: Rules, name: str, threshold: float) -> Rules:
    """Replace all thresholds of a rule in the settings. A rule that is off in a domain or a source stays off."""

    def changed(values: dict[str, float | None]) -> dict[str, float | None]:
        return {rule: threshold if rule == name and value is not None else value for rule, value in values.items()}

    return settings.model_copy(
        update={
            "thresholds": settings.thresholds.model_copy(update={name: threshold}),
            "domains": {domain: changed(values) for domain, values in settings.domains.items()},
            "sources": {source: changed(values) for source, values in settings.sources.items()},
        }
    )


def rules(settings: Rules) -> list[Rule]:
    """Return the bounds as rules under these settings, in order of precedence."""
    return [bound.rule(settings) for bound in BOUNDS]
