"""Real servers of `vllm serve` for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from infinity_assets.inference.engines.vllm_engine import ENVIRONMENT

READY_SECONDS = 300.0
"""Seconds until a server must be ready; it takes 45 on two idle cores."""
DIES_WITH_US = """
import ctypes, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
sys.argv = ["api_server", *sys.argv[1:]]
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""
"""Program of the server with PR_SET_PDEATHSIG, so that it ends with its parent process in any case."""


@contextmanager
def vllm_serve(folder: Path, *arguments: str, log: Path, **environment: str) -> Iterator[str]:
    """Serve the model in `folder` under the name `m` for the block, with its output in `log`, and yield the address.

    The server leads its own session, which is killed as a whole, because its engine is another process.

    Raises:
        RuntimeError: The server did not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-c", DIES_WITH_US, "--model", str(folder), "--served-model-name", "m", *place]
    # Like the engine in process: eager, no chunks (a chunked prompt of a seeded request breaks the step on a CPU), no
    # defaults from the weights' folder.
    options = "--enforce-eager --no-enable-chunked-prefill --generation-config vllm --max-model-len 512"
    command += [*options.split(), *arguments]
    # The server's engine is another process, regardless of the settings of the one in this process.
    apart = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "TORCHDYNAMO_DISABLE": "1"}
    settings = {**os.environ, **ENVIRONMENT, **apart, **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=settings, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with suppress(httpx2.HTTPError):
            if httpx2.get(f"{address}/health", timeout=5).is_success:
                return
        time.sleep(0.5)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")
