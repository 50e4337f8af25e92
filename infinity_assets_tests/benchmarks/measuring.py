"""What the benchmarks share: time and memory of processes, figures from a process of its own, and synthetic requests."""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infinity_assets.inference.requests import GenerateRequest
from infinity_assets.settings.models import Sampling


class Measured(NamedTuple):
    """Resources that a process and its children used."""

    seconds: float
    cpu: float
    """CPU seconds of all cores."""
    memory: float
    """Peak memory, in GiB."""


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end and measure it. The memory is the peak of the summed proportional set sizes (PSS)."""
    began, before = time.monotonic(), os.times()
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL)
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            peak[0] = max(peak[0], sum(map(_memory, _tree(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    stop.set()
    watcher.join()
    after = os.times()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(time.monotonic() - began, cpu, peak[0] / 2**20)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = thread.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Return the PSS of a process, in KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def load() -> float:
    """Return the load of the machine over the last minute."""
    return os.getloadavg()[0]


def peak() -> float:
    """Return the peak memory of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Watch:
    """A stopwatch with laps."""

    def __init__(self):
        self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        last, self._last = self._last, time.monotonic()
        return self._last - last


def parser(doc: str | None, **positional: str) -> argparse.ArgumentParser:
    """Return a parser of a benchmark's command line; `positional` has the help of paths by their names."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in positional.items():
        made.add_argument(name, type=Path, help=text)
    return made


def child(*arguments: str, environment: Mapping[str, str] | None = None, quiet: bool = True) -> dict[str, Any]:
    """Run this program again with other arguments, and return the JSON object that it prints last, on a line.

    If it is quiet, what it writes to standard error is only shown if it fails.
    """
    module = sys.modules["__main__"].__spec__
    assert module
    command = [sys.executable, "-m", module.name, *arguments]
    errors = subprocess.PIPE if quiet else None
    everything = {**os.environ, **(environment or {})}
    done = subprocess.run(command, env=everything, stdout=subprocess.PIPE, stderr=errors, text=True)
    if done.returncode:
        raise SystemExit(done.stderr or done.returncode)
    return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])


def figures_of(opening: float, seconds: float, read: float, written: float) -> dict[str, float]:
    """Return the figures of a run of an engine: durations, tokens, memory and load."""
    counts = {"opening": opening, "seconds": seconds, "read": read, "written": written}
    rates = {"per_second": written / seconds, "all_per_second": (read + written) / seconds}
    return {**counts, **rates, "GiB": peak(), "load": load()}


def print_figures(name: str, found: Mapping[str, float]) -> None:
    """Print the figures of a run of an engine."""
    print(
        f"{name:<5} {found['written']:>9,.0f} tokens written, {found['read']:>9,.0f} read in {found['seconds']:7.1f} s: "
        f"{found['per_second']:7.1f} written, {found['all_per_second']:7.1f} in all a second; "
        f"opened in {found['opening']:.1f} s; {found['GiB']:.1f} GiB; load {found['load']:.1f}",
        flush=True,
    )


SUBJECTS = (
    "rivers bridges bees clocks maps bread glaciers lenses harbours violins tides seeds radios kites fossils canals"
)
ACTIONS = "explain compare describe plan summarise question improve teach measure repair"


def made_up_text(number: int, words: int) -> str:
    """Return a request of so many words, different for each number."""
    drawn, subjects = random.Random(number), SUBJECTS.split()
    action, subject = drawn.choice(ACTIONS.split()), drawn.choice(subjects)
    return f"Please {action} {subject} ({number}): {' '.join(drawn.choices(subjects, k=words))}."


def made_up_requests(
    count: int, tokens: int, words: int | None = None, before: str = "", first: int = 0
) -> list[GenerateRequest]:
    """Return requests that are all different.

    Args:
        count, first: Number of requests, and the number of the first.
        tokens: Most tokens of an answer.
        words: Words of a request; 5 to 200 if there is no number.
        before: Text that stands before the first words of every other request.
    """
    requests = []
    for number in range(first, first + count):
        text = made_up_text(number, words or 5 + 37 * number % 196)
        content = f"{before}\n\n{text}" if before and number % 2 else text
        sampling = Sampling(temperature=0.7, top_p=1.0, max_tokens=tokens)
        messages = ({"role": "user", "content": content},)
        requests.append(GenerateRequest(f"row{number}", "bench", "", messages, sampling, seed=number))
    return requests
