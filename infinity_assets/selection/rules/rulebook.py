"""All rules of the foundation, in the order in which they are tried."""

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
"""Every bound. What has no answer is said first, then what its source says of it, its form, its words, its code, its scores."""

BY_NAME = {bound.name: bound for bound in BOUNDS}

PLACE = ("row_id", "source", "file", "domain")
"""What the rules read of the rows themselves."""
SCORES = ("row_id", "ifd", "quality")
"""What they read of the scores."""


def facts(rows: pl.DataFrame, measured: pl.DataFrame, scored: pl.DataFrame, settings: Rules) -> pl.DataFrame:
    """What the rules read, one line per row, in the order of the rows.

    Args:
        rows: Columns `PLACE`, and any more.
        measured: Columns `measures.MEASURES`.
        scored: Columns `SCORES`; rows that are not there were not scored.
        settings: The list of denied parts.
    """
    joined = rows.join(measured, on="row_id", how="left", maintain_order="left").join(
        scored.select(SCORES), on="row_id", how="left", maintain_order="left"
    )
    return joined.with_columns(sources.denied(rows, settings.denied).alias("denied"))


def with_threshold(settings: Rules, name: str, threshold: float) -> Rules:
    """The settings with one threshold in place of all of a rule; what is off in a domain or a source stays off."""

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
    """The bounds as rules under these settings, in order."""
    return [bound.rule(settings) for bound in BOUNDS]
