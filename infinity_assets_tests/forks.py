"""Processes that run an `infinity` command, forked from one that has imported everything: the imports are paid for once."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]

_CONTEXT = multiprocessing.get_context("forkserver")
# Only what reads no settings and starts no thread: every fork reads the settings of its own environment, in the modules under `defs`.
_CONTEXT.set_forkserver_preload(
    [
        "dagster",
        "dagster._core.storage.event_log.sqlite",
        "infinity_assets.catalog.explain",
        "infinity_assets.cli",
        "infinity_assets.inference.engines.openai_engine",
        "infinity_assets_tests.forks",
        "sentence_transformers",
        "sklearn.neighbors",
    ]
)


def start(arguments: Sequence[str], environment: Mapping[str, str], output: Path, fatal: str = "") -> ForkServerProcess:
    """Run an `infinity` command in a process of its own, which can be killed like any other.

    Args:
        arguments: Those of the command.
        environment: Its whole environment.
        output: The file that gets what the command prints.
        fatal: The end of the path of a file. The process is killed by SIGKILL just before a file is renamed to such a path, which is how this
            project puts finished files in their places; an empty text for no such end.
    """
    process = _CONTEXT.Process(target=_run, args=(list(arguments), dict(environment), output, fatal))
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], output: Path, fatal: str) -> None:
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
    from infinity_assets.cli import main

    main(arguments)
