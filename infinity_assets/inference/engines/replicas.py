"""Replicas of an engine in separate processes, for data parallelism and for engines that sleep while others run.

vLLM keeps the state of an engine in global variables, so a process can hold only one. Requests are sorted by their text
and divided once, so that a replica gets the requests with a common prefix. Answers are yielded as they are finished.
"""

import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import accumulate
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from infinity_assets.inference.engines.chat_template import prefix_key
from infinity_assets.inference.engines.engine import Admit, Engine, EngineMisconfigured, EngineUnavailable, admit_all
from infinity_assets.inference.requests import Request, Response
from infinity_assets.settings.models import ModelSpec

Opener = Callable[[ModelSpec, Path], Engine]


class Replicas:
    """An engine that consists of `spec.data_parallel_size` replicas. Not thread-safe."""

    def __init__(self, spec: ModelSpec, folder: Path, opener: Opener):
        """Start the processes and wait until all engines are open.

        Each replica uses `tensor_parallel_size` of the visible GPUs. `opener` opens it in its process, and must be at
        the top level of a module.

        Raises:
            EngineUnavailable: An engine could not be opened, or too few GPUs are visible.
        """
        start = multiprocessing.get_context("spawn")
        single = spec.model_copy(update={"data_parallel_size": 1})
        self._ends: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(spec.data_parallel_size):
            ours, theirs = start.Pipe()
            arguments = (theirs, single, folder, opener, _environment(spec, number))
            process = start.Process(target=_run_replica, args=arguments, name=f"replica-{number}", daemon=False)
            process.start()
            theirs.close()  # otherwise the death of the process would go unnoticed
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            self._receive(end)

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests like `Engine.run`, in order of completion.

        Raises:
            EngineUnavailable: A process has died, or its engine has failed.
        """
        working = set(self._ends)
        try:
            for end, portion in zip(self._ends, _split_evenly(requests, len(self._ends)), strict=True):
                self._send(end, ("run", [(position, requests[position]) for position in portion]))
            while working:
                for end in wait(working):
                    assert isinstance(end, Connection)
                    event, value = self._receive(end)
                    if event == "answer":
                        yield value
                    elif event == "admit":
                        self._send(end, admit(*value))
                    else:
                        working.remove(end)
        finally:
            if working:  # the caller has stopped, or a process has died: the state of the replicas is unknown
                self._kill()

    def sleep(self) -> None:
        """Move the weights to main memory and release the GPU."""
        self._command_all("sleep")

    def wake(self) -> None:
        """Move the weights back to the GPU."""
        self._command_all("wake")

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            with suppress(OSError):
                end.send(("close", None))
        for process in self._processes:
            process.join(timeout=30)
        self._kill()

    def _command_all(self, command: str) -> None:
        for end in self._ends:
            self._send(end, (command, None))
        for end in self._ends:
            self._receive(end)

    def _send(self, end: Connection, message: Any) -> None:
        try:
            end.send(message)
        except OSError:
            self._kill()
            raise EngineUnavailable("the process of an engine died") from None

    def _receive(self, end: Connection) -> tuple[str, Any]:
        try:
            event, value = end.recv()
        except (EOFError, OSError):
            self._kill()
            raise EngineUnavailable("the process of an engine died") from None
        if event == "failed":
            self._kill()
            raise value
        return event, value

    def _kill(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.kill()
            process.join()
        for end in self._ends:
            end.close()
        self._ends = []
        self._processes = []


def _split_evenly(requests: Sequence[Request], count: int) -> list[list[int]]:
    """Sort the positions of requests by their text, and split them into portions with about equal amounts of text."""
    ordered = sorted(range(len(requests)), key=lambda position: prefix_key(requests[position]))
    sizes = list(accumulate((len(str(requests[position])) for position in ordered), initial=0))
    portions: list[list[int]] = [[] for _ in range(count)]
    for position, before in zip(ordered, sizes, strict=False):
        portions[min(count - 1, before * count // max(sizes[-1], 1))].append(position)
    return portions


def _environment(spec: ModelSpec, number: int) -> dict[str, str]:
    """Return the environment variables of a replica, which select its GPUs, or its cores on a CPU."""
    width = spec.tensor_parallel_size
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    mine = range(number * width, (number + 1) * width)
    if visible and len(visible) < mine.stop:
        raise EngineMisconfigured(
            f"{spec.data_parallel_size} replicas of {spec.model} on {width} GPUs each: {len(visible)} GPUs are visible"
        )
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(visible[device] if visible else str(device) for device in mine)}
    if spec.data_parallel_size > 1 and hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[number :: spec.data_parallel_size] or cores
        environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, own))
    return environment


def _run_replica(end: Connection, spec: ModelSpec, folder: Path, opener: Opener, environment: dict[str, str]) -> None:
    """Open the engine, in the process of a replica, and execute commands until the caller closes the connection."""
    os.environ |= environment

    def admitted(prompt_tokens: int, max_tokens: int) -> bool:
        end.send(("admit", (prompt_tokens, max_tokens)))
        return end.recv()

    try:
        engine: Any = opener(spec, folder)
        end.send(("open", None))
        while True:
            command, value = end.recv()
            if command == "run":
                positions = [position for position, _ in value]
                for place, response in engine.run([request for _, request in value], admitted):
                    end.send(("answer", (positions[place], response)))
            elif command == "close":
                engine.close()
                return
            else:
                getattr(engine, command)()
            end.send(("done", None))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:
        end.send(("failed", EngineUnavailable(f"{spec.model}: {error!r}")))
