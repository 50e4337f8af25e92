"""The one use of a part of Dagster that is not public, checked with Dagster 1.13."""

import dagster as dg
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager


def keep_terminal(instance: dg.DagsterInstance) -> None:
    """Leave the output of steps on the terminal.

    By default Dagster sends it through files and back, which garbles the progress display. A dagster.yaml could turn this
    off, but not for one process: the web UI shares the file and needs the logs.
    """
    instance._compute_log_manager = NoOpComputeLogManager()
