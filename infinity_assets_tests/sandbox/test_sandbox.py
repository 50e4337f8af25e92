"""Real programs in the real sandbox: correct programs pass, and harmful ones do no harm."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infinity_assets import sandbox
from infinity_assets.sandbox import child as sandbox_child
from infinity_assets.settings.foundation import Limits
from infinity_assets_tests.properties import examples

QUICK = Limits(seconds=1, memory_mb=256)

CASES = [
    # program, verdict, words of the reason
    ("assert 1 + 1 == 2", "passed", None),
    ("import threading\nt = threading.Thread(target=print); t.start(); t.join()", "passed", None),
    ("import os\nopen('a', 'w').write('x')\nassert os.listdir('.') == ['a']\nos.remove('a')", "passed", None),
    ("import os\nassert not set(os.environ) - {'PYTHONHASHSEED', 'LC_CTYPE'}", "passed", None),
    ("import sys\nassert sys.stdin.read() == ''", "passed", None),
    ("assert 1 == 2, 'one is not two'", "failed", "AssertionError: one is not two"),
    ("def (", "failed", "SyntaxError"),
    ("def f(): return f()\nf()", "failed", "RecursionError"),
    ("import os\nos._exit(0)", "failed", "ended before"),
    (
        "import contextlib, os\nfor file in range(3, 64):\n    with contextlib.suppress(OSError):\n"
        "        os.write(file, b'{\"done\": true}\\n')\nos._exit(0)",
        "failed",
        "ended before",
    ),
    ("raise SystemExit", "failed", "ended before"),
    ("import numpy", "failed", "ModuleNotFoundError"),
    ("x = []\nwhile True: x.append(bytearray(10**7))", "failed", "out of memory"),
    ("open('a', 'wb').write(b'x' * (2 << 20))", "failed", "File too large"),
    ("open('/etc/passwd').read()", "failed", "Permission denied"),
    ("while True: pass", "timeout", "processor"),
    ("while True: print('x' * 1000)", "timeout", "processor"),
    ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "timeout", "processor"),
    ("import os\nwhile True: os.fork()", "refused", "start a process"),
    ("import subprocess\nsubprocess.run(['ls'])", "refused", "start a process"),
    ("import os\nos.system('ls')", "refused", "start a process"),
    ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "refused", "network"),
    ("import socket\ntry: socket.socket()\nexcept OSError: pass", "refused", "network"),
    ("import os\nos.kill(os.getppid(), 9)", "refused", "signal"),
    ("open('/tmp/infinity_escape', 'w').write('x')", "refused", "outside"),
    ("import os\nos.symlink('/etc', 'etc')\nopen('etc/infinity_escape', 'w')", "refused", "outside"),
]


@pytest.mark.parametrize(("program", "status", "words"), CASES)
def test_a_program_gets_its_verdict(program: str, status: str, words: str | None) -> None:
    verdict = sandbox.run_one(program, QUICK)
    assert verdict.status == status
    assert verdict.reason is None if words is None else words in (verdict.reason or "")
    assert not Path("/tmp/infinity_escape").exists()


SYSTEM_CALLS = [
    # Calls through C bypass the audit hook, so the kernel must forbid them.
    "libc.fork()",
    "libc.socket(2, 1, 0)",
    "libc.socketpair(1, 1, 0, pair)",
    "libc.execve(b'/bin/sh', None, None)",
    "libc.creat(b'/tmp/infinity_escape', 0o777)",
    "libc.mkdir(b'/tmp/infinity_escape', 0o777)",
    "libc.chmod(b'/tmp', 0)",
    "libc.kill(1, 0)",
    "libc.unlink(b'/tmp')",
    "libc.unshare(0x10000000)",
    "libc.syscall(425, 8, pair)",
    "libc.setuid(0)",
]


@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_the_kernel_forbids_a_system_call(call: str) -> None:
    program = f"import ctypes\nlibc = ctypes.CDLL(None)\npair = ctypes.create_string_buffer(256)\nassert {call} == -1"
    assert sandbox.run_one(program, QUICK).status == "passed"
    assert not Path("/tmp/infinity_escape").exists()


def test_the_program_runs_as_another_user_than_root() -> None:
    wanted = "!= 0" if os.geteuid() == 0 else f"== {os.geteuid()}"
    program = f"import os\nassert os.getuid() {wanted}\nassert os.getgroups() in ([], {os.getgroups()})"
    assert sandbox.run_one(program, QUICK).status == "passed"


def test_a_waiting_program_is_stopped() -> None:
    began = time.monotonic()
    verdict = sandbox.run_one("import time\ntime.sleep(100)", QUICK)
    assert (verdict.status, time.monotonic() - began < 30) == ("timeout", True)


def test_the_size_of_all_files_is_limited() -> None:
    program = "n = 0\nwhile True:\n    n += 1\n    open(f'a{n}', 'wb').write(b'x' * (1 << 19))"
    verdict = sandbox.run_one(program, Limits(folder_mb=4))
    assert (verdict.status, verdict.reason) == ("failed", "it wrote more than 4 MiB")


def test_verdicts_come_in_the_order_of_the_programs_and_leave_no_files() -> None:
    before = set(Path("/tmp").glob("sandbox-*"))
    progress: list[int] = []
    programs = [f"assert {n} % 3" for n in range(9)]
    verdicts = sandbox.run(programs, QUICK, progress=lambda done, total: progress.append(done))
    assert [verdict.status for verdict in verdicts] == ["passed" if n % 3 else "failed" for n in range(9)]
    assert progress == list(range(1, 10))
    assert set(Path("/tmp").glob("sandbox-*")) <= before


@hypothesis_settings(max_examples=examples(10), deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_gets_a_verdict_and_stays_itself(text: str) -> None:
    """Any text survives as a constant in a program, and gets a verdict as a program."""
    program = f"assert {text!r} == ''.join(chr(n) for n in {[ord(c) for c in text]})"
    assert sandbox.run_one(program, QUICK).status == "passed"
    assert sandbox.run_one(text, QUICK).status in ("passed", "failed", "timeout", "refused")


def test_a_program_that_cannot_be_confined_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    source = Path(sandbox_child.__file__).read_text(encoding="utf-8")
    renamed = source.replace('"x86_64": ', '"another": ').replace('"aarch64": ', '"a third": ')
    child.write_text(renamed, encoding="utf-8")
    monkeypatch.setattr(sandbox, "_COMMAND", (*sandbox._COMMAND[:-1], str(child)))
    verdict = sandbox.run_one("assert True")
    assert verdict.status == "refused"
    assert (verdict.reason or "").startswith("not run: programs run on Linux")
