"""Processes that run the graph, forked from one that has imported and defined everything once."""

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from infinity_assets_tests.documented_commands import Command

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
    return _start(_run, arguments, dict(environment), output, fatal)


def start_commands(
    commands: Sequence[Command], values: Mapping[str, str], folder: Path, environment: Mapping[str, str], results: Path
) -> ForkServerProcess:
    """Run documented commands in a new process, one after the other.

    Args:
        values: Replacements of words of the commands.
        folder: Working directory.
        results: File for a JSON list with line, status, seconds and output of each command.
    """
    return _start(_run_commands, commands, values, folder, environment, results)


def _start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    process = _CONTEXT.Process(target=target, args=arguments)
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


def _run_commands(
    commands: Sequence[Command], values: Mapping[str, str], folder: Path, environment: Mapping[str, str], results: Path
) -> None:
    from click.testing import CliRunner
    from dagster._cli import cli as dagster_cli

    from infinity_assets.cli import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    outcomes = []
    for command in commands:
        began = time.monotonic()
        words = [os.path.expanduser(values.get(word, word)) for word in command.words]
        variables = {name: os.path.expandvars(value) for name, value in command.variables}
        result = CliRunner().invoke(main if words[0] == "infinity" else dagster_cli, words[1:], env=variables)
        if command.output:
            Path(command.output).write_bytes(result.stdout_bytes)
        trace = "".join(traceback.format_exception(result.exception)) if result.exception else ""
        outcomes.append((command.line, result.exit_code, time.monotonic() - began, result.output + trace))
    results.write_text(json.dumps(outcomes), encoding="utf-8")
