"""Jobs of a decoder that was taken over.  Loaded in the guarded process: nothing but the standard library."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def misbehave(path: str, folder: str, neighbour: str, server: int) -> Iterator[dict]:
    """What each attempt came to: "done", or the name of the error that refused it."""
    libc = ctypes.CDLL(None, use_errno=True)
    theirs, own = Path(neighbour), Path(folder)
    calls = {
        "internet": lambda: socket.socket(socket.AF_INET),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "socket pair": socket.socketpair,
        "exec": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
        "spawn": lambda: subprocess.run([sys.executable, "-c", ""]),
        "fork": lambda: os.fork() or os._exit(0),
        "signal": lambda: os.kill(server, 0),
        "signal to all": lambda: os.kill(-1, 0),
        "trace": lambda: _checked(libc.ptrace(16, server, 0, 0)),  # attach
        "mode": lambda: (theirs / "clip").chmod(0o777),
        "cut": lambda: os.truncate(theirs / "clip", 0),
    }
    files = {
        "list": lambda: os.listdir(theirs),
        "list beside": lambda: os.listdir(own.parent),
        "read": (theirs / "clip").read_bytes,
        "write": lambda: (theirs / "clip").write_bytes(b""),
        "new": lambda: (theirs / "new").write_bytes(b""),
        "new beside": lambda: (own.parent / "new").write_bytes(b""),
        "remove": (theirs / "clip").unlink,
        "move": lambda: (theirs / "clip").rename(own / "moved"),
        "link": lambda: os.link(theirs / "clip", own / "linked"),
        "symbolic link": lambda: (own / "symbolic").symlink_to(theirs / "clip"),
        "write what is read": lambda: Path(path).write_bytes(b""),
        "passwd": Path("/etc/passwd").read_bytes,
        "own environ": Path("/proc/self/environ").read_bytes,
        "server's environ": Path(f"/proc/{server}/environ").read_bytes,
        "parent's environ": Path(f"/proc/{os.getppid()}/environ").read_bytes,
        "processes": lambda: os.listdir("/proc"),
    }
    allowed = {
        "own clip": Path(path).read_bytes,
        "own folder": lambda: (own / "new").write_bytes(b"") or (own / "new").rename(own / "renamed"),
        "own signal": lambda: os.kill(os.getpid(), 0),
        "thread": _thread,
    }
    groups = {"calls": calls, "files": files, "allowed": allowed}
    yield {
        **{name: {key: _tried(act) for key, act in group.items()} for name, group in groups.items()},
        "environ": dict(os.environ),
        "argv": sys.argv,
        "open": _open_files(),
    }


def _tried(act: Callable) -> str:
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _thread() -> None:
    thread = threading.Thread(target=time.monotonic)
    thread.start()
    thread.join()


def _open_files() -> list[int]:
    return [number for number in range(256) if _tried(lambda at=number: os.fstat(at)) == "done"]


def _pipe() -> int:
    return _open_files()[3]


def stopped() -> Iterator[dict]:
    """Stops in the middle of a message."""
    yield {}
    os.write(_pipe(), struct.pack("!Q", 1000) + b'{"some')
    os.kill(os.getpid(), signal.SIGSTOP)


def dribble() -> Iterator[dict]:
    """A message that goes on and on."""
    yield {}
    os.write(_pipe(), struct.pack("!Q", 2**20))
    while True:
        os.write(_pipe(), b" ")
        time.sleep(0.05)


def huge() -> Iterator[dict]:
    """Announces a message of a terabyte, and lives on."""
    yield {}
    os.write(_pipe(), struct.pack("!Q", 2**40))
    signal.pause()


def sulk() -> Iterator[dict]:
    """Says for ever that it is alive."""
    yield {}
    while True:
        yield {"alive": True}
        time.sleep(0.05)


def endless() -> Iterator[dict]:
    """A row of pictures without end."""
    yield {}
    while True:
        for data in (b'{"shape": [1]}', b"x"):
            os.write(_pipe(), struct.pack("!Q", len(data)) + data)


def babble(text: str) -> Iterator[dict]:
    """Answers with something else than an answer."""
    os.write(_pipe(), struct.pack("!Q", len(text)) + text.encode())
    signal.pause()
    yield {}
