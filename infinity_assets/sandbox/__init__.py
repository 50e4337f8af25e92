"""Programs that a model wrote, run where they can do no harm.

Every program runs in a Python process of its own (`child.py`, which says what it is denied and by what), with an empty working folder and an
empty environment, the standard library and nothing else. Nothing of it is ever run in this process. Time is counted in seconds of the processor,
so that a busy machine changes no result; one that waits instead is stopped after four times as many. What cannot be confined is not run.

The wall is made for programs that are wrong and for those that misbehave. A program that is out to forge its own report runs in the same interpreter
as the reporter and might.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal, NamedTuple

from infinity_assets.settings.foundation import Limits

Status = Literal["passed", "failed", "timeout", "refused"]

_CHILD = Path(__file__).with_name("child.py")
_COMMAND = (sys.executable, "-s", "-S", "-B", "-P", "-X", "utf8", str(_CHILD))
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # sets come in the same order in every run
NOT_RUN = "not run: "
"""How the reason begins where a program was refused whatever it holds."""

_START = 2.0
"""Seconds that the process has to start."""
_REPORT = 64 << 10
_SLOTS = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Programs that run at a time, whoever asks for them: one that waits for a processor would be taken for one that waits."""


class Verdict(NamedTuple):
    """What became of a program."""

    status: Status
    """`passed`: it ran to its last line. `failed`: it did not. `timeout`: it took too long. `refused`: it was not run, because it could not
    be confined, or it tried what it must not."""
    reason: str | None
    """In words; null if it passed."""
    seconds: float
    """From start to end."""


def run(
    programs: Sequence[str],
    limits: Limits = Limits(),
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Verdict]:
    """The verdicts on some programs, in their order, as many at a time as there are workers (null: cores)."""
    verdicts: dict[int, Verdict] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        running = {pool.submit(run_one, program, limits): place for place, program in enumerate(programs)}
        for future in as_completed(running):
            verdicts[running[future]] = future.result()
            progress(len(verdicts), len(programs))
    return [verdicts[place] for place in range(len(programs))]


def run_one(program: str, limits: Limits = Limits()) -> Verdict:
    """The verdict on a program."""
    with _SLOTS:
        return _run_one(program, limits)


def _run_one(program: str, limits: Limits) -> Verdict:
    token, began = secrets.token_hex(16), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="sandbox-"))
    try:
        with tempfile.TemporaryFile() as task, tempfile.TemporaryFile() as report:
            told = {"seconds": limits.seconds, "memory": limits.memory_mb << 20, "file_size": limits.file_mb << 20}
            task.write(json.dumps({"program": program, "token": token, "limits": told}).encode())
            task.seek(0)
            process = subprocess.Popen(
                _COMMAND,
                stdin=task,
                stdout=report,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
            stopped = _wait(process, folder, limits, began)
            report.seek(0)
            lines = _lines(report.read(_REPORT))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Verdict(*_judged(lines, token, stopped, process.returncode), time.monotonic() - began)


def _wait(process: subprocess.Popen[bytes], folder: Path, limits: Limits, began: float) -> tuple[Status, str] | None:
    """Wait for the end, or make it; then why."""
    pause, stopped = 0.002, None
    while process.poll() is None:
        pause = min(pause * 1.5, 0.05)
        time.sleep(pause)
        if time.monotonic() - began > _START + 4 * limits.seconds:
            stopped = "timeout", f"it waited longer than {4 * limits.seconds} seconds"
        elif _size(folder) > limits.folder_mb << 20:
            stopped = "failed", f"it wrote more than {limits.folder_mb} MiB"
        if stopped:
            process.kill()
            process.wait()
            break
    return stopped


def _size(folder: Path) -> int:
    try:
        return sum(file.lstat().st_size for file in folder.rglob("*"))
    except OSError:  # it goes away as we look
        return 0


def _lines(report: bytes) -> list[dict]:
    lines = []
    for line in report.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            lines.append(found)
    return lines


def _judged(lines: list[dict], token: str, stopped: tuple[Status, str] | None, code: int) -> tuple[Status, str | None]:
    told = {name: value for line in reversed(lines) for name, value in line.items()}  # the first of a name holds
    if "unsafe" in told or "ready" not in told:
        return "refused", NOT_RUN + str(told.get("unsafe", "the process did not start"))
    if "refused" in told:
        return "refused", str(told["refused"])
    if stopped:
        return stopped
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and "failed" not in told):
        return "timeout", "it used up its processor time"
    if told.get("done") == token:
        return "passed", None
    if "failed" in told:
        return "failed", str(told["failed"])
    return "failed", f"it ended by signal {-code}" if code < 0 else "it ended before its tests did"
