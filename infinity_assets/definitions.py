"""The Dagster code location: loads `defs/`, nothing else."""

from pathlib import Path

import dagster as dg

import infinity_assets.defs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything under `defs/`."""
    # Said, not looked for: an installed package has no pyproject.toml above it.
    return dg.load_defs(infinity_assets.defs, project_root=Path(__file__).parents[1])
