"""Processes that run the graph, forked from one that has imported and defined everything once."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
SHARDS = "2"
"""Number of shards of every run: the assets are defined with it before a process is forked."""
WITHOUT_DAGSTER = ("make",)
"""Arguments that materialize the graph with `defs.graph.Graph.make`, without Dagster."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["infinity_assets_tests.warm"])


def start(
    arguments: tuple[str, ...], environment: Mapping[str, str], output: Path, fatal: str = ""
) -> ForkServerProcess:
    """Run an `infinity` command, or the graph without Dagster, in a new process.

    Args:
        arguments: Arguments of the command, or `WITHOUT_DAGSTER`.
        environment: Environment of the process.
        output: File for the output of the process.
        fatal: Part of a path, or empty. The process is killed by SIGKILL just before a file is renamed to such a path:
            finished files are always renamed into place.
    """
    process = _CONTEXT.Process(target=_run, args=(arguments, dict(environment), output, fatal))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFINITY_SHARDS", SHARDS)
        # A killed process cannot clean up, and needs no warning about it.
        patch.setenv("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
        process.start()
    return process


def _run(arguments: tuple[str, ...], environment: dict[str, str], output: Path, fatal: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(PROJECT)
    with output.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)

    def die(event: str, values: tuple[Any, ...]) -> None:
        if event == "os.rename" and fatal in str(values[1]):
            os.kill(os.getpid(), signal.SIGKILL)

    if fatal:
        sys.addaudithook(die)
    if arguments == WITHOUT_DAGSTER:
        from infinity_assets_tests.defs.graph import Graph

        with pytest.MonkeyPatch.context() as patch:
            Graph(Path(environment["INFINITY_DATA"]).parent, patch).make()
    else:
        from infinity_assets.cli import main

        main(list(arguments))
