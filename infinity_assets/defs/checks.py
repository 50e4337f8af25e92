"""Asset checks: the invariants block, so that what is downstream of a broken asset does not run; `understood` warns."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.misread_sources import misread, sentences
from infinity_assets.decontamination.report import flagged
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import LakeResource
from infinity_assets.invariants import INVARIANTS
from infinity_assets.report.charts import table
from infinity_assets.settings import Settings


def _checks_of(asset: str, names: tuple[str, ...]) -> dg.AssetChecksDefinition:
    """All checks of an asset in one step: each step costs a fixed time, a check a fraction of it."""
    specs = [
        dg.AssetCheckSpec(name, asset=asset, blocking=True, description=(INVARIANTS[name].__doc__ or "").strip())
        for name in names
    ]

    @dg.multi_asset_check(name=f"{asset}_invariants", specs=specs)
    def check(lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        opened = lake.open()
        for name in names:
            broken = INVARIANTS[name](opened, asset)
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=name,
                passed=broken.is_empty(),
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"what breaks it": dg.MetadataValue.md(table(broken))} if broken.height else {},
            )

    return check


def check_lake(lake: Lake) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Check the invariants of every asset that is materialised.

    Yields:
        The asset, the name of the invariant, and what breaks it.
    """
    for registered in needed_by(None):
        if lake.partitions(registered.asset):
            for name in registered.invariants:
                yield registered.asset, name, INVARIANTS[name](lake, registered.asset)


@dg.asset_check(asset="raw_pool", blocking=False)
def understood(lake: LakeResource) -> dg.AssetCheckResult:
    """Of every source, no more records were dropped than the setting `ingest.warn_dropped` lets pass."""
    found = misread(lake.open().data, Settings().ingest.warn_dropped)
    return dg.AssetCheckResult(
        passed=found.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(sentences(found)) or None,
        metadata={"dropped": dg.MetadataValue.md(table(found, rows=50))} if found.height else {},
    )


@dg.asset_check(asset="contamination", blocking=False)
def unflagged(lake: LakeResource) -> dg.AssetCheckResult:
    """No source holds more of a benchmark than the setting `decontamination.flag_above` lets pass."""
    found = lake.open().scan("contamination").collect()
    return dg.AssetCheckResult(
        passed=not found["flagged"].any(),
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(flagged(found)) or None,
        metadata={"flagged": dg.MetadataValue.md(table(found.filter("flagged"), rows=50))}
        if found["flagged"].any()
        else {},
    )


@dg.definitions
def checks() -> dg.Definitions:
    """One step of invariants per asset, and the warnings."""
    invariants = [
        _checks_of(registered.asset, registered.invariants) for registered in needed_by(None) if registered.invariants
    ]
    return dg.Definitions(asset_checks=[*invariants, understood, unflagged])
