"""A process locks itself in: after `enter` it can read and write only the files that it was given.

Linux only, in three layers.  Any user may add them, and nobody can remove them again.  Landlock limits the
files.  A seccomp filter refuses new sockets, new programs and processes, and access to other processes.
Capabilities are dropped, for a server that runs as root.  Open files and loaded modules stay usable; a module
that was not imported before can no longer be imported.  The process should have one thread: Landlock binds
the calling thread and those that it starts later, but not the threads beside it.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.guard.syscalls import ALIKE, ARCHITECTURES, ON_ONESELF, REFUSED

MISSING = {
    "files": "the kernel offers no Landlock, so that they can read and write other files",
    "calls": "the kernel offers no seccomp filter, so that they can open sockets and start programs",
    "threads": "they have threads from before, which may still touch other files",
}
NO_NEW_PRIVILEGES, DUMPABLE = 38, 4  # prctl
CLONE_THREAD = 0x10000
CAPABILITIES_3 = 0x20080522
# Landlock's rights, by bit; what a kernel does not know yet must not be asked for
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, REMOVE_FILE, MAKE_DIR, MAKE_REGULAR, TRUNCATE = 1 << 1, 1 << 5, 1 << 7, 1 << 8, 1 << 14
OF_A_FILE = 0b111 | TRUNCATE | 1 << 15
READING = READ_FILE | READ_DIR
WRITING = READING | WRITE_FILE | REMOVE_FILE | MAKE_DIR | MAKE_REGULAR | TRUNCATE
RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # ABI version -> file rights


def enter(reads: Iterable[Path], writes: Iterable[Path]) -> list[str]:
    """Lock this process in; returns the keys of MISSING for the layers that are not available here.

    reads: files and folders; writes: folders.  One that does not exist cannot be made later either.
    """
    if sys.platform != "linux":
        return ["files", "calls"]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        alone = len(os.listdir("/proc/self/task")) == 1
    except OSError:  # no /proc here
        alone = False
    libc.prctl(DUMPABLE, 0, 0, 0, 0)  # no process of the same user may look into it
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.capset(struct.pack("Ii", CAPABILITIES_3, 0), bytes(24))
    missing = [] if alone else ["threads"]
    if not _bound_files(libc, reads, writes):
        missing = ["files"]
    return missing if _refuse_calls(libc) else [*missing, "calls"]


def wipe(name: str) -> str | None:
    """The value of an environment variable, which is removed, even from what `ps` and /proc show."""
    text = os.environ.get(name)
    if text and os.name == "posix":
        getenv = ctypes.CDLL(None).getenv
        getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        address = getenv(os.fsencode(name))
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
    os.environ.pop(name, None)
    return text


def _call(libc: ctypes.CDLL, number: int, *arguments: Any) -> int:
    """A system call by its number; -1 where it fails."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    libc.syscall.restype = ctypes.c_long
    return libc.syscall(ctypes.c_long(number), *wide)


def _bound_files(libc: ctypes.CDLL, reads: Iterable[Path], writes: Iterable[Path]) -> bool:
    create, add, restrict = (
        ALIKE[f"landlock_{name}"] for name in ("create_ruleset", "add_rule", "restrict_self")
    )
    version = _call(libc, create, None, 0, 1)
    if version < 1:
        return False
    rights = RIGHTS[max(known for known in RIGHTS if known <= version)]
    # version 4 knows TCP (bind, connect), version 6 abstract sockets and signals; no rule allows any
    handled = struct.pack("QQQ", rights, 3, 3)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = _call(libc, create, handled, len(handled), 0)
    if rules < 0:
        return False
    try:
        for path, allowed in [*((p, READING) for p in reads), *((p, WRITING) for p in writes)]:
            _allow(libc, add, rules, path, allowed & rights)
        return _call(libc, restrict, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, add: int, rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, or not for us, stays out of reach
    try:
        rights = rights if os.path.isdir(path) else rights & OF_A_FILE
        _call(libc, add, rules, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _refuse_calls(libc: ctypes.CDLL) -> bool:
    column = platform.machine()
    if column not in ARCHITECTURES or sys.maxsize < 2**32:
        return False
    code = b"".join(struct.pack("HBBI", *step) for step in _filter(column))
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    mode, all_threads = 1, 1
    return _call(libc, ARCHITECTURES[column]["seccomp"], mode, all_threads, program) == 0


def _filter(column: str) -> list[tuple[int, int, int, int]]:
    """A classic BPF program: (operation, steps to jump if true, if false, constant)."""
    load, equal, at_least, has_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, allow = 0x50000 | errno.EPERM, 0x7FFF0000
    unknown, kill = 0x50000 | errno.ENOSYS, 0x80000000
    numbers = {**ALIKE, **ARCHITECTURES[column]}
    number_at, architecture_at = 0, 4  # in struct seccomp_data
    steps = [(load, 0, 0, architecture_at), (equal, 1, 0, numbers["architecture"]), (answer, 0, 0, kill)]
    steps += [(load, 0, 0, number_at)]
    if column == "x86_64":  # the same calls for 32-bit pointers
        steps += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, refuse)]
    for name in REFUSED:
        if name in numbers:  # one that an architecture never had
            steps += [(equal, 0, 1, numbers[name]), (answer, 0, 0, refuse)]
    # the C library makes threads with clone where clone3 is unknown; of clone alone the flags can be seen
    steps += [(equal, 0, 1, numbers["clone3"]), (answer, 0, 0, unknown)]
    steps += _depends(numbers["clone"], (has_bit, 0, 1, CLONE_THREAD))
    for name in ON_ONESELF:
        steps += _depends(numbers[name], (equal, 0, 1, os.getpid()))
    steps += _depends(numbers["prlimit64"], (equal, 0, 1, 0))
    return [*steps, (answer, 0, 0, allow)]


def _depends(number: int, test: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Steps for a call that is allowed if its first argument passes `test`."""
    allow, refuse = 0x7FFF0000, 0x50000 | errno.EPERM
    return [(0x15, 0, 4, number), (0x20, 0, 0, 16), test, (0x06, 0, 0, allow), (0x06, 0, 0, refuse)]
