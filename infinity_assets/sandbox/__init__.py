"""Sandbox for programs that a model wrote.

Every program runs in its own Python process with an empty working folder, an almost empty environment and only the
standard library. `child.py` documents the restrictions. The limit on time applies to processor time, so that a busy
machine does not change the results. A program that waits instead of computing is stopped after four times the limit.
A program that cannot be confined is not run.

The sandbox protects against faulty and misbehaving programs. It cannot prevent a program from forging its verdict,
because the code that reports the outcome runs in the same interpreter.
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
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from infinity_assets.settings.foundation import Limits

Status = Literal["passed", "failed", "timeout", "refused"]

_CHILD = Path(__file__).with_name("child.py")
_RESTRICTIONS = Path(__file__).with_name("restrictions.yaml")
_COMMAND = (sys.executable, "-s", "-S", "-B", "-P", "-X", "utf8", str(_CHILD))
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # fixes the order of sets
NOT_RUN = "not run: "
"""Prefix of the reason if a program was refused because it could not be confined."""

_START_SECONDS = 2.0
"""Seconds that a process may take to start, in addition to the limit."""
_REPORT_BYTES = 64 << 10
_SLOTS = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Limit on the programs that run at the same time, so that none is stopped because it waits for a processor."""


class Verdict(NamedTuple):
    """The outcome of a program."""

    status: Status
    """`passed`: it ran to its last line. `failed`: it did not. `timeout`: it took too long. `refused`: it was not run
    because it could not be confined, or it tried something forbidden."""
    reason: str | None
    """Reason in words; `None` if the program passed."""
    seconds: float
    """Elapsed time from start to end."""


def run(
    programs: Sequence[str],
    limits: Limits = Limits(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Verdict]:
    """Run programs in the sandbox and return their verdicts, in the same order.

    `progress` is called with the number of finished programs and their total.
    """
    verdicts: dict[int, Verdict] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = {pool.submit(run_one, program, limits): place for place, program in enumerate(programs)}
        for future in as_completed(running):
            verdicts[running[future]] = future.result()
            progress(len(verdicts), len(programs))
    return [verdicts[place] for place in range(len(programs))]


def run_one(program: str, limits: Limits = Limits()) -> Verdict:
    """Run a program in the sandbox and return its verdict."""
    token = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="sandbox-"))
    try:
        with _SLOTS, tempfile.TemporaryFile() as task, tempfile.TemporaryFile() as report:
            began = time.monotonic()
            bounds = {"seconds": limits.seconds, "memory": limits.memory_mb << 20, "file_size": limits.file_mb << 20}
            job = {"program": program, "token": token, "limits": bounds, "restrictions": read_restrictions()}
            task.write(json.dumps(job).encode())
            task.seek(0)
            process = subprocess.Popen(
                _COMMAND, stdin=task, stdout=report, stderr=subprocess.DEVNULL,
                cwd=folder, env=_ENVIRONMENT, start_new_session=True,
            )  # fmt: skip
            stopped = _wait(process, folder, limits, began)
            report.seek(0)
            lines = _parse_report(report.read(_REPORT_BYTES))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Verdict(*_judge(lines, token, stopped, process.returncode), time.monotonic() - began)


@cache
def read_restrictions() -> dict:
    """Return the content of restrictions.yaml."""
    return yaml.safe_load(_RESTRICTIONS.read_text(encoding="utf-8"))


def _wait(process: subprocess.Popen[bytes], folder: Path, limits: Limits, began: float) -> tuple[Status, str] | None:
    """Wait until the process ends. If it exceeds a limit, kill it and return the status and the reason."""
    pause = 0.002
    stopped = None
    while process.poll() is None and not stopped:
        pause = min(pause * 1.5, 0.05)
        time.sleep(pause)
        if time.monotonic() - began > _START_SECONDS + 4 * limits.seconds:
            stopped = "timeout", f"it waited longer than {4 * limits.seconds} seconds"
        elif _folder_size(folder) > limits.folder_mb << 20:
            stopped = "failed", f"it wrote more than {limits.folder_mb} MiB"
    if stopped:
        process.kill()
        process.wait()
    return stopped


def _folder_size(folder: Path) -> int:
    try:
        return sum(file.lstat().st_size for file in folder.rglob("*"))
    except OSError:  # the program removed a file meanwhile
        return 0


def _parse_report(report: bytes) -> list[dict]:
    lines = []
    for line in report.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def _judge(lines: list[dict], token: str, stopped: tuple[Status, str] | None, code: int) -> tuple[Status, str | None]:
    report = {name: value for line in reversed(lines) for name, value in line.items()}  # the first value of a name wins
    if "unsafe" in report or "ready" not in report:
        return "refused", NOT_RUN + str(report.get("unsafe", "the process did not start"))
    if "refused" in report:
        return "refused", str(report["refused"])
    if stopped:
        return stopped
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and "failed" not in report):
        return "timeout", "it used up its processor time"
    if report.get("done") == token:
        return "passed", None
    if "failed" in report:
        return "failed", str(report["failed"])
    return "failed", f"it ended by signal {-code}" if code < 0 else "it ended before its tests did"
