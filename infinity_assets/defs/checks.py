"""Blocking asset checks for the invariants: what is downstream of a broken asset does not run."""

from collections.abc import Iterator

import dagster as dg

from infinity_assets.catalog.invariants import APPLIES, INVARIANTS
from infinity_assets.defs.chat.rounds import ROUNDS, round_name
from infinity_assets.defs.resources import LakeResource
from infinity_assets.report.charts import table

_UNROLLED = ("evolved", "answered", "diagnosed")


def _checks_of(asset: str, names: tuple[str, ...]) -> dg.AssetChecksDefinition:
    """All checks of an asset in one step: each step costs a fixed time, a check a fraction of it."""
    specs = [dg.AssetCheckSpec(name, asset=asset, blocking=True, description=(INVARIANTS[name].__doc__ or "").strip()) for name in names]

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


def _all() -> dict[str, tuple[str, ...]]:
    unrolled = {round_name(asset, number): APPLIES[asset] for number in ROUNDS for asset in _UNROLLED}
    return {**APPLIES, **unrolled}


@dg.definitions
def checks() -> dg.Definitions:
    """One check step per asset."""
    return dg.Definitions(asset_checks=[_checks_of(asset, names) for asset, names in _all().items()])
