"""The Dagster code location: everything under `defs/`, with the resources that it asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

import infinity_assets.defs
from infinity_assets.defs.resources import default_resources


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return the graph: assets, checks, jobs, sensors, the schedule, and resources.

    Args:
        resources: Resources that take the place of the default ones: `lake` (`LakeResource`) and `models` (`ModelsResource`).
    """
    # Said, not looked for: an installed package has no pyproject.toml above it.
    loaded = dg.load_defs(infinity_assets.defs, project_root=Path(__file__).parents[1])
    return dg.Definitions.merge(loaded, dg.Definitions(resources={**default_resources(), **(resources or {})}))


@dg.definitions
def defs() -> dg.Definitions:
    """The graph with the default resources."""
    return build_defs()
