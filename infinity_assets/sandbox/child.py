"""Script inside the sandbox, run by the package `sandbox` in a separate Python process. Standard library only.

It reads a program from standard input, drops its own rights, and runs the program under these restrictions:

* kernel limits on processor time, memory, file size and open files;
* another user without groups, if it was started as root;
* Landlock (Linux 5.13): files can be read in Python's own folders and the working folder, and written only in the
  working folder;
* seccomp: no sockets, processes, programs, signals, changes of ownership or modes, or rare system calls. Threads are
  allowed.

The kernel enforces them; an audit hook also notices forbidden attempts, to report the reason in words. The report goes
to standard output, which is a file, as JSON lines.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys

MODULES = (
    "__future__", "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io",
    "itertools", "json", "math", "numbers", "operator", "queue", "random", "pathlib", "re", "shutil", "socket",
    "statistics", "string", "subprocess", "sys", "tempfile", "textwrap", "threading", "time", "traceback", "types",
    "typing", "unicodedata", "unittest", "uuid", "encodings.idna", "linecache", "tokenize",
)  # fmt: skip
"""Modules that are imported beforehand, because the other user may not be able to read Python's folders."""

# Numbers of system calls on x86-64 and ARM64; None if there is no such call.
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # network
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "sendto": (44, 206), "sendmsg": (46, 211),
    "bind": (49, 200), "listen": (50, 201), "socketpair": (53, 199), "accept4": (288, 242), "sendmmsg": (307, 269),
    # processes and programs
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "shmget": (29, 194),
    "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    # changes that Landlock does not cover
    "chmod": (90, None), "fchmod": (91, 52), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "fchownat": (260, 54), "fchmodat": (268, 53), "fchmodat2": (452, 452), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466),
    # rare calls with a large attack surface
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "userfaultfd": (323, 282), "open_by_handle_at": (304, 265),
    "personality": (135, 92), "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "reboot": (169, 142), "fanotify_init": (300, 262),
}  # fmt: skip

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_THREAD = 0x10000
_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000

_READING = 0b1101  # execute, read a file, read a folder
_ON_A_FILE = 0b1100000000000111  # rights that a rule for a file can grant: execute, write, read, truncate, ioctl
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of rights by version of Landlock; 16 from version 5 on."""

_AUDITED = {
    "socket.": "it tried to use the network",
    "subprocess.": "it tried to start a process",
    "os.fork": "it tried to start a process",
    "os.exec": "it tried to start a process",
    "os.posix_spawn": "it tried to start a process",
    "os.system": "it tried to start a process",
    "os.kill": "it tried to send a signal to a process",
}
_WRITING = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.truncate",
)


class Unsafe(Exception):
    """The sandbox is not possible on this machine."""


def confine(limits: dict, libc: ctypes.CDLL) -> None:
    """Drop all rights that the program must not have.

    Raises:
        Unsafe: That is not possible, so the program must not run.
    """
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
        # The limit counts all processes of a user, so it needs a separate user.
        *([(resource.RLIMIT_NPROC, 64)] if root else []),
    ):
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # SIGXCPU can be caught; SIGKILL follows a second later.
        most = value + 1 if name == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(name, (value, most))
    if libc.prctl(38, 1, 0, 0, 0):  # no_new_privs
        raise Unsafe("the kernel does not support no_new_privs")
    if not _landlock(libc) and not root:
        raise Unsafe("the kernel has no Landlock (Linux 5.13): run as root, or on a newer kernel")
    _seccomp(libc, *architecture)


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
    reading = {
        sys.prefix,
        sys.base_prefix,
        *sys.path,
        "/usr/lib",
        "/lib",
        "/lib64",
        "/usr/share/zoneinfo",
        "/dev/urandom",
        "/dev/zero",
    }
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


def _seccomp(libc: ctypes.CDLL, architecture: int, column: int) -> None:
    def load(offset: int) -> bytes:
        return struct.pack("HBBI", 0x20, 0, 0, offset)

    def unless(code: int, value: int, skip: int) -> bytes:
        return struct.pack("HBBI", code, 0, skip, value)

    def give(action: int) -> bytes:
        return struct.pack("HBBI", 0x06, 0, 0, action)

    equal, at_least, has = 0x15, 0x35, 0x45
    filters = [load(4), struct.pack("HBBI", equal, 1, 0, architecture), give(_KILL), load(0)]
    filters += [unless(at_least, 0x40000000, 1), give(_KILL)]  # calls of the x32 ABI on x86-64
    for numbers in FORBIDDEN.values():
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


def watch(report) -> None:
    """Install an audit hook that reports forbidden attempts and stops them."""
    inside = os.path.realpath(".")

    def outside(path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        real = os.path.realpath(os.fsdecode(path))
        return real != "/dev/null" and real != inside and not real.startswith(inside + os.sep)

    def hook(event: str, arguments: tuple) -> None:
        reason = next((message for prefix, message in _AUDITED.items() if event.startswith(prefix)), None)
        if (
            event == "open"
            and isinstance(arguments[2], int)
            and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        ):
            reason = "it tried to write outside its folder" if outside(arguments[0]) else None
        elif event in _WRITING and outside(arguments[0]):
            reason = "it tried to write outside its folder"
        if reason:
            report(refused=reason)
            raise PermissionError(reason)

    sys.addaudithook(hook)


def main() -> None:
    """Run the program from standard input, a JSON object with `program`, `token` and `limits`."""
    task = json.load(sys.stdin)
    output = os.dup(1)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)

    def report(**line: object) -> None:
        os.write(output, (json.dumps(line) + "\n").encode())

    for name in MODULES:
        __import__(name)
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o077)
    try:
        confine(task["limits"], libc)
    except (Unsafe, OSError, ValueError) as error:
        report(unsafe=str(error))
        return
    report(ready=True)
    watch(report)
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
    os._exit(0)  # do not wait for threads that continue


if __name__ == "__main__":
    main()
