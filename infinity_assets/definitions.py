"""The Dagster code location: loads `defs/`, nothing else."""

import dagster as dg

import infinity_assets.defs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything under `defs/`."""
    return dg.load_defs(infinity_assets.defs)
