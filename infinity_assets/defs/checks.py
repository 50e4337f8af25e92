"""Asset checks: invariants, which block downstream assets if they are violated, and two checks that only warn."""

from collections.abc import Callable, Iterator, Sequence

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


def _invariants_of(asset: str, key: dg.AssetKey, names: Sequence[str]) -> dg.AssetChecksDefinition:
    """Return the checks of an asset's invariants as one step, because starting a step takes longer than a check."""
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
                metadata={"violations": dg.MetadataValue.md(table(broken))} if broken.height else {},
            )

    return check


def check_lake(lake: Lake) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Check the invariants of every materialized asset.

    Yields:
        The asset, the name of the invariant, and the violations. An empty frame means that the invariant holds.
    """
    for registered in needed_by(None):
        if lake.partitions(registered.asset):
            for name in registered.invariants:
                yield registered.asset, name, INVARIANTS[name](lake, registered.asset)


def understood(lake: Lake) -> tuple[pl.DataFrame, list[str]]:
    """No source has a larger share of dropped records than the setting `ingest.warn_dropped` allows."""
    sources = misread_sources(lake.data, Settings().ingest.warn_dropped)
    return sources, describe_misread(sources)


def unflagged(lake: Lake) -> tuple[pl.DataFrame, list[str]]:
    """No source contains a larger share of a benchmark than the setting `decontamination.flag_above` allows."""
    shares = lake.scan("contamination").collect()
    return shares.filter("flagged"), describe_flagged(shares)


def warning(key: dg.AssetKey, find: Callable[[Lake], tuple[pl.DataFrame, list[str]]]) -> dg.AssetChecksDefinition:
    """Return an asset check that warns about violations of a rule.

    `find` returns a frame of the violations, and sentences that describe them. Its docstring states the rule.
    """

    @dg.asset_check(asset=key, name=find.__name__, blocking=False, description=find.__doc__)
    def check(lake: LakeResource) -> dg.AssetCheckResult:
        broken, sentences = find(lake.open())
        return dg.AssetCheckResult(
            passed=broken.is_empty(),
            severity=dg.AssetCheckSeverity.WARN,
            description="\n".join(sentences) or None,
            metadata={"lines": dg.MetadataValue.md(table(broken, rows=50))} if broken.height else {},
        )

    return check


def asset_checks(prefix: Sequence[str] = ()) -> list[dg.AssetChecksDefinition]:
    """Return the checks of all assets: one step of blocking invariants per asset, and two warnings.

    The keys of the assets begin with `prefix`.
    """
    invariants = [
        _invariants_of(registered.asset, dg.AssetKey([*prefix, registered.asset]), registered.invariants)
        for registered in needed_by(None)
        if registered.invariants
    ]
    warnings = {"raw_pool": understood, "contamination": unflagged}
    return [*invariants, *(warning(dg.AssetKey([*prefix, asset]), find) for asset, find in warnings.items())]
