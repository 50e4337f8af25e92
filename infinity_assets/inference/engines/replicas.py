"""Copies of an engine, each in a process of its own: data parallelism, and engines that can sleep while another has the GPU.

vLLM keeps one engine's state in globals of its process, so neither is possible inside ours. Requests are divided once, in the order of their
beginnings, so that a copy gets those that share a prefix; answers come back as they are finished.
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

from infinity_assets.inference.engines.engine import Admit, Engine, EngineUnavailable, always
from infinity_assets.inference.requests import Request, Response
from infinity_assets.settings.models import ModelSpec

Opener = Callable[[ModelSpec, Path], Engine]


class Replicas:
    """`spec.data_parallel_size` copies of an engine. One caller at a time."""

    def __init__(self, spec: ModelSpec, folder: Path, opener: Opener, order: Callable[[Request], Any]):
        """Start the processes and wait until all engines are open.

        Args:
            spec: The model; each copy takes `tensor_parallel_size` GPUs of those that are visible, in their order.
            folder: Its weights.
            opener: Opens one copy, in its process: a function of a module.
            order: By this, requests with a common beginning stand side by side.
        """
        self._order = order
        start = multiprocessing.get_context("spawn")
        alone = spec.model_copy(update={"data_parallel_size": 1})
        self._ends: list[Connection] = []
        self._processes: list[Any] = []
        for number in range(spec.data_parallel_size):
            ours, theirs = start.Pipe()
            process = start.Process(
                target=_serve,
                args=(theirs, alone, folder, opener, _place(spec, number)),
                name=f"replica-{number}",
                daemon=False,
            )
            process.start()
            theirs.close()  # or the end of the process would not be seen
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            self._expect(end, "open")

    def run(self, requests: Sequence[Request], admit: Admit = always) -> Generator[tuple[int, Response], None, None]:
        """Answer requests, in the order in which they finish, as every engine does. Raises `EngineUnavailable` when a process has died."""
        answers: queue.SimpleQueue[tuple[int, Response] | Exception | None] = queue.SimpleQueue()
        portions = _portions(
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
            if working:  # the caller has stopped listening, or a process has died: their state is unknown
                self._kill()

    def sleep(self) -> None:
        """Move the weights to main memory and give the GPU back."""
        self._order_all("sleep")

    def wake(self) -> None:
        """Be ready again."""
        self._order_all("wake")

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            with suppress(OSError):
                end.send(("close", None))
        for process in self._processes:
            process.join(timeout=30)
        self._kill()

    def _order_all(self, command: str) -> None:
        for end in self._ends:
            end.send((command, None))
        for end in self._ends:
            self._expect(end, command)

    def _expect(self, end: Connection, what: str) -> None:
        try:
            said, value = end.recv()
        except (EOFError, OSError):
            self._kill()
            raise EngineUnavailable(f"the process of an engine died while it was to {what}") from None
        if said == "failed":
            self._kill()
            raise value

    def _listen(
        self, end: Connection, portion: list[tuple[int, Request]], admit: Admit, answers: "queue.SimpleQueue[Any]"
    ) -> None:
        try:
            end.send(("run", portion))
            while True:
                said, value = end.recv()
                if said == "answer":
                    answers.put(value)
                elif said == "admit":
                    end.send(admit(*value))
                elif said == "failed":
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
        self._ends, self._processes = [], []


def _portions(ordered: list[int], requests: Sequence[Request], count: int) -> list[list[int]]:
    """The positions in so many runs of about the same length of text."""
    sizes = list(accumulate((len(str(requests[position])) for position in ordered), initial=0))
    portions: list[list[int]] = [[] for _ in range(count)]
    for position, before in zip(ordered, sizes, strict=False):
        portions[min(count - 1, before * count // max(sizes[-1], 1))].append(position)
    return portions


def _place(spec: ModelSpec, number: int) -> dict[str, str]:
    """The environment of a copy: its GPUs; on a CPU its cores."""
    width = spec.tensor_parallel_size
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    mine = range(number * width, (number + 1) * width)
    if visible and len(visible) < mine.stop:
        raise EngineUnavailable(
            f"{spec.data_parallel_size} copies of {spec.model} on {width} GPUs each: {len(visible)} GPUs are visible"
        )
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(visible[device] if visible else str(device) for device in mine)}
    if spec.data_parallel_size > 1 and hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[number :: spec.data_parallel_size] or cores
        environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, own))
    return environment


def _serve(end: Connection, spec: ModelSpec, folder: Path, opener: Opener, environment: dict[str, str]) -> None:
    """The process of one copy: opens the engine and does what it is told until its caller is gone."""
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
