"""Processes that run the graph, forked from one that has imported and defined everything, so that this is paid for once."""

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
"""The shards of every run here: the assets are defined for them before a process is forked."""
WITHOUT_DAGSTER = ("make",)
"""Stands for the arguments of a command: make the assets as `defs.graph.Graph.make` does, without Dagster."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["infinity_assets_tests.warm"])


def start(
    arguments: tuple[str, ...], environment: Mapping[str, str], output: Path, fatal: str = ""
) -> ForkServerProcess:
    """Run an `infinity` command, or the graph without Dagster, in a process of its own.

    Args:
        arguments: Those of the command, or `WITHOUT_DAGSTER`.
        environment: Its whole environment.
        output: The file that gets what it prints.
        fatal: A part of a path; empty for none. The process is killed by SIGKILL just before a file is renamed to such a
            path, which is how this project puts finished files in their places.
    """
    process = _CONTEXT.Process(target=_run, args=(arguments, dict(environment), output, fatal))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFINITY_SHARDS", SHARDS)
        # Who is killed cannot tidy up, and need not be told of.
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
