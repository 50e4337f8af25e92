"""Asset checks: invariants, which block the assets downstream of a broken asset, and two warnings."""

from collections.abc import Iterator, Sequence

import dagster as dg
import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.catalog.misread_sources import describe_misread, misread_sources
from infinity_assets.decontamination.report import describe_flagged
from infinity_assets.defs.registry import needed_by
from infinity_assets.defs.resources import LakeResource
from infinity_assets.invariants import INVARIANTS
from infinity_assets.report.charts import table
from infinity_assets.settings import Settings


def _invariants_of(asset: str, key: dg.AssetKey, names: tuple[str, ...]) -> dg.AssetChecksDefinition:
    """Return all invariants of an asset as one step, because a step costs a fixed time and a check a fraction of it."""
    specs = [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=(INVARIANTS[name].__doc__ or "").strip())
        for name in names
    ]

    @dg.multi_asset_check(name=f"{asset}_invariants", specs=specs)
    def check(lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        opened = lake.open()
        for name in names:
            broken = INVARIANTS[name](opened, asset)
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=broken.is_empty(),
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"violations": dg.MetadataValue.md(table(broken))} if broken.height else {},
            )

    return check


def check_lake(lake: Lake) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Check the invariants of every materialized asset.

    Yields:
        The asset, the name of the invariant, and the violations; an empty frame means that the invariant holds.
    """
    for registered in needed_by(None):
        if lake.partitions(registered.asset):
            for name in registered.invariants:
                yield registered.asset, name, INVARIANTS[name](lake, registered.asset)


def _understood(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key, blocking=False)
    def understood(lake: LakeResource) -> dg.AssetCheckResult:
        """No source has a larger share of dropped records than the setting `ingest.warn_dropped` allows."""
        sources = misread_sources(lake.open().data, Settings().ingest.warn_dropped)
        return dg.AssetCheckResult(
            passed=sources.is_empty(),
            severity=dg.AssetCheckSeverity.WARN,
            description="\n".join(describe_misread(sources)) or None,
            metadata={"dropped": dg.MetadataValue.md(table(sources, rows=50))} if sources.height else {},
        )

    return understood


def _unflagged(key: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key, blocking=False)
    def unflagged(lake: LakeResource) -> dg.AssetCheckResult:
        """No source contains more of a benchmark than the setting `decontamination.flag_above` allows."""
        shares = lake.open().scan("contamination").collect()
        return dg.AssetCheckResult(
            passed=not shares["flagged"].any(),
            severity=dg.AssetCheckSeverity.WARN,
            description="\n".join(describe_flagged(shares)) or None,
            metadata={"flagged": dg.MetadataValue.md(table(shares.filter("flagged"), rows=50))}
            if shares["flagged"].any()
            else {},
        )

    return unflagged


def asset_checks(prefix: Sequence[str] = ()) -> list[dg.AssetChecksDefinition]:
    """Return the checks of all assets: one step of blocking invariants per asset, and two warnings.

    Args:
        prefix: The prefix of the asset keys.
    """
    keys = {registered.asset: dg.AssetKey([*prefix, registered.asset]) for registered in needed_by(None)}
    invariants = [
        _invariants_of(registered.asset, keys[registered.asset], registered.invariants)
        for registered in needed_by(None)
        if registered.invariants
    ]
    return [*invariants, _understood(keys["raw_pool"]), _unflagged(keys["contamination"])]
