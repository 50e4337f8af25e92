"""The Dagster code location: the definitions in `defs/`, the asset checks and the resources."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

import infinity_assets.defs
from infinity_assets.defs.checks import asset_checks
from infinity_assets.defs.resources import default_resources


def build_defs(key_prefix: Sequence[str] = (), resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return the Dagster definitions: assets, checks, jobs, sensors, the schedule and resources.

    To add them to another Dagster project, merge them with its definitions:
    `dg.Definitions.merge(own, build_defs(key_prefix=["instructions"]))`.

    Args:
        key_prefix: A prefix for the keys of all assets.
        resources: Resources that replace the default ones: `lake` (a `LakeResource`) and `models` (a `ModelsResource`).
    """
    # Dagster would look for the project root by its pyproject.toml, which an installed package does not have.
    loaded = dg.load_defs(infinity_assets.defs, project_root=Path(__file__).parents[1])
    if key_prefix:
        assets = dg.load_assets_from_package_module(infinity_assets.defs, key_prefix=list(key_prefix))
        loaded = dg.Definitions(
            assets=assets,
            jobs=loaded.jobs,
            sensors=loaded.sensors,
            schedules=loaded.schedules,
            executor=loaded.executor,
        )
    checks = dg.Definitions(
        asset_checks=asset_checks(key_prefix), resources={**default_resources(), **(resources or {})}
    )
    return dg.Definitions.merge(loaded, checks)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the Dagster definitions with the default resources."""
    return build_defs()
