"""Script that the package `sandbox` runs in a separate Python process. It uses only the standard library.

It reads a program from standard input, gives up its own rights, and runs the program under these restrictions:

* kernel limits on processor time, memory, file size and open files;
* another user without groups, if it was started as root;
* Landlock (Linux 5.13): files can be read in Python's own folders and the working folder, and written only in the
  working folder;
* seccomp: no sockets, processes, programs, signals, changes of ownership or modes, or rare system calls. Threads are
  allowed.

The kernel enforces them. An audit hook also stops forbidden attempts, in order to report the reason in words. The
report goes to standard output, which is a file, as JSON lines.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_THREAD = 0x10000
_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000

_READING = 0b1101  # execute, read a file, read a folder
_ON_A_FILE = 0b1100000000000111  # rights that a rule for a file can grant: execute, write, read, truncate, ioctl
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of access rights by version of Landlock; 16 from version 5 on."""


class Unsafe(Exception):
    """Programs cannot be confined on this machine."""


def confine(limits: dict, system_calls: dict, libc: ctypes.CDLL) -> None:
    """Give up all rights that the program must not have. Raises `Unsafe` if that fails: the program must not run."""
    architecture = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or architecture is None:
        raise Unsafe(f"programs run on Linux (x86-64, ARM64) only, not on {sys.platform} {platform.machine()}")
    root = os.geteuid() == 0
    if root:
        _drop_root()
    elif os.geteuid() != os.getuid():
        raise Unsafe("the process has the rights of two users")
    for name, value in (
        (resource.RLIMIT_CPU, limits["seconds"]),
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file_size"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        # This limit counts all processes of a user, so it only makes sense for a separate user.
        *([(resource.RLIMIT_NPROC, 64)] if root else []),
    ):
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # A program can catch SIGXCPU, but not the SIGKILL that follows a second later.
        most = value + 1 if name == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(name, (value, most))
    if libc.prctl(38, 1, 0, 0, 0):  # no_new_privs
        raise Unsafe("the kernel does not support no_new_privs")
    if not _landlock(libc) and not root:
        raise Unsafe("the kernel has no Landlock (Linux 5.13): run as root, or on a newer kernel")
    _seccomp(libc, system_calls, *architecture)


def _drop_root() -> None:
    for user in (1_900_000_000 + os.getpid(), 65534):  # a separate user, or nobody if a container does not map it
        try:
            os.chown(".", user, user)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            return
        except OSError:
            continue
    raise Unsafe("the process was started as root and cannot become another user")


def _landlock(libc: ctypes.CDLL) -> bool:
    version = libc.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    everything = (1 << _RIGHTS.get(version, 16)) - 1
    rules = libc.syscall(444, struct.pack("Q", everything), ctypes.c_size_t(8), ctypes.c_uint32(0))
    if rules < 0:
        return False
    system = {"/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/urandom", "/dev/zero"}
    reading = {sys.prefix, sys.base_prefix, *sys.path, *system}
    for path, rights in [*((path, _READING) for path in reading if path), ("/dev/null", 0b110), (".", everything)]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = (rights if os.path.isdir(path) else rights & _ON_A_FILE) & everything
        if libc.syscall(445, rules, 1, struct.pack("=Qi", allowed, place), ctypes.c_uint32(0)):
            raise Unsafe(f"Landlock rejects the rule for {path}")
        os.close(place)
    if libc.syscall(446, rules, ctypes.c_uint32(0)):
        raise Unsafe("Landlock cannot restrict the process")
    os.close(rules)
    return True


def _seccomp(libc: ctypes.CDLL, system_calls: dict, architecture: int, column: int) -> None:
    def load(offset: int) -> bytes:
        return struct.pack("HBBI", 0x20, 0, 0, offset)

    def unless(code: int, value: int, skip: int) -> bytes:
        return struct.pack("HBBI", code, 0, skip, value)

    def give(action: int) -> bytes:
        return struct.pack("HBBI", 0x06, 0, 0, action)

    equal, at_least, has = 0x15, 0x35, 0x45
    filters = [load(4), struct.pack("HBBI", equal, 1, 0, architecture), give(_KILL), load(0)]
    filters += [unless(at_least, 0x40000000, 1), give(_KILL)]  # calls of the x32 ABI on x86-64
    for numbers in system_calls.values():
        if (number := numbers[column]) is not None:
            filters += [unless(equal, number, 1), give(_EPERM)]
    filters += [unless(equal, _CLONE3[column], 1), give(_ENOSYS)]  # its flags are invisible; libc falls back to clone
    filters += [unless(equal, _CLONE[column], 4), load(16), unless(has, _THREAD, 1), give(_ALLOW), give(_EPERM)]
    # A process may change only its own limits.
    filters += [unless(equal, _PRLIMIT[column], 4), load(16), unless(equal, 0, 1), give(_ALLOW), give(_EPERM)]
    filters += [give(_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(filters))
    program = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code))
    if libc.prctl(22, 2, program, 0, 0):
        raise Unsafe("the kernel rejects the seccomp filter")


def watch(restrictions: dict, report) -> None:
    """Install an audit hook that reports and stops forbidden attempts. `report` takes the reason as `refused`."""
    inside = os.path.realpath(".")
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def outside(path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        real = os.path.realpath(os.fsdecode(path))
        return real != "/dev/null" and real != inside and not real.startswith(inside + os.sep)

    def hook(event: str, arguments: tuple) -> None:
        reason = next((message for prefix, message in restrictions["events"].items() if event.startswith(prefix)), None)
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & writing
        if (opens or event in restrictions["writing_events"]) and outside(arguments[0]):
            reason = "it tried to write outside its folder"
        if reason:
            report(refused=reason)
            raise PermissionError(reason)

    sys.addaudithook(hook)


def main() -> None:
    """Run the program in the JSON object on standard input, with the keys program, token, limits and restrictions."""
    task = json.load(sys.stdin)
    output = os.dup(1)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)

    def report(**line: object) -> None:
        os.write(output, (json.dumps(line) + "\n").encode())

    for name in task["restrictions"]["modules"]:
        __import__(name)
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o077)
    try:
        confine(task["limits"], task["restrictions"]["system_calls"], libc)
    except (Unsafe, OSError, ValueError) as error:
        report(unsafe=str(error))
        return
    report(ready=True)
    watch(task["restrictions"], report)
    try:
        exec(compile(task["program"], "program", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except SystemExit:
        report(failed="it ended before its tests did")
    except MemoryError:
        report(failed="out of memory")
    except BaseException as error:
        words = " ".join(str(error).split())[:200]
        report(failed=f"{type(error).__name__}: {words}" if words else type(error).__name__)
    else:
        report(done=task["token"])
    os._exit(0)  # without waiting for the program's threads


if __name__ == "__main__":
    main()
