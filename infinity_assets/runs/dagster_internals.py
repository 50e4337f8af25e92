"""The only use of Dagster's private API, tested with Dagster 1.13."""

import dagster as dg
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager


def keep_terminal(instance: dg.DagsterInstance) -> None:
    """Keep Dagster from capturing the output of steps, so that it goes straight to the terminal.

    By default Dagster routes the output through files, which garbles the progress display. A dagster.yaml could turn
    this off only for all processes, but the web UI uses the same dagster.yaml and needs the captured logs.
    """
    instance._compute_log_manager = NoOpComputeLogManager()
