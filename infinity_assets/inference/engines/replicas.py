"""Replicas of an engine in separate processes, for data parallelism and for engines that sleep while others run.

vLLM keeps the state of an engine in globals of its process, so neither is possible inside ours. Requests are sorted by
their beginnings and divided once, so that a replica gets those that share a prefix; answers come back as they finish.
"""

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import accumulate
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infinity_assets.inference.engines.engine import Admit, Engine, EngineMisconfigured, EngineUnavailable, admit_all
from infinity_assets.inference.requests import Request, Response
from infinity_assets.settings.models import ModelSpec

Opener = Callable[[ModelSpec, Path], Engine]


class Replicas:
    """An engine of `spec.data_parallel_size` replicas. Only one caller at a time can use it."""

    def __init__(self, spec: ModelSpec, folder: Path, opener: Opener, order: Callable[[Request], Any]):
        """Start the processes and wait until all engines are open.

        Args:
            spec: The model; each replica takes the next `tensor_parallel_size` of the visible GPUs.
            folder: Folder with the weights.
            opener: Function at the top level of a module that opens one replica in its process.
            order: Sort key that puts requests with a common prefix next to each other.

        Raises:
            EngineUnavailable: An engine could not be opened, or too few GPUs are visible.
        """
        self._order = order
        start = multiprocessing.get_context("spawn")
        single = spec.model_copy(update={"data_parallel_size": 1})
        self._ends: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(spec.data_parallel_size):
            ours, theirs = start.Pipe()
            process = start.Process(
                target=_run_replica,
                args=(theirs, single, folder, opener, _environment(spec, number)),
                name=f"replica-{number}",
                daemon=False,
            )
            process.start()
            theirs.close()  # otherwise the end of the process would go unnoticed
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            self._expect(end, "open")

    def run(self, requests: Sequence[Request], admit: Admit = admit_all) -> Generator[tuple[int, Response], None, None]:
        """Answer requests in order of completion, like every `Engine`.

        Raises:
            EngineUnavailable: A process has died, or its engine has failed.
        """
        answers: queue.SimpleQueue[tuple[int, Response] | Exception | None] = queue.SimpleQueue()
        portions = _split_evenly(
            sorted(range(len(requests)), key=lambda position: self._order(requests[position])),
            requests,
            len(self._ends),
        )
        listeners = [
            threading.Thread(
                target=self._listen, args=(end, [(p, requests[p]) for p in portion], admit, answers), daemon=True
            )
            for end, portion in zip(self._ends, portions, strict=True)
        ]
        for listener in listeners:
            listener.start()
        working = len(listeners)
        try:
            while working:
                answer = answers.get()
                if answer is None:
                    working -= 1
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    yield answer
        finally:
            if working:  # the caller has stopped listening, or a process has died: the state of replicas is unknown
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
            end.send((command, None))
        for end in self._ends:
            self._expect(end, command)

    def _expect(self, end: Connection, command: str) -> None:
        try:
            event, value = end.recv()
        except (EOFError, OSError):
            self._kill()
            raise EngineUnavailable(f"the process of an engine died during {command}") from None
        if event == "failed":
            self._kill()
            raise value

    def _listen(
        self, end: Connection, portion: list[tuple[int, Request]], admit: Admit, answers: "queue.SimpleQueue[Any]"
    ) -> None:
        try:
            end.send(("run", portion))
            while True:
                event, value = end.recv()
                if event == "answer":
                    answers.put(value)
                elif event == "admit":
                    end.send(admit(*value))
                elif event == "failed":
                    answers.put(value)
                    return
                else:
                    answers.put(None)
                    return
        except (EOFError, OSError):
            answers.put(EngineUnavailable("the process of an engine died"))

    def _kill(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.kill()
            process.join()
        for end in self._ends:
            end.close()
        self._ends = []
        self._processes = []


def _split_evenly(ordered: list[int], requests: Sequence[Request], count: int) -> list[list[int]]:
    """Split positions into `count` consecutive runs with about the same length of text."""
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
    """Open the engine in a replica's process and execute commands until the caller closes the connection."""
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
