"""Ctrl-C and `kill` end a process cleanly, even while it loads.  Nothing here may import torch."""

import os
import signal
import sys
import time

TERMINATED = 128 + signal.SIGTERM
PATIENCE = 5  # seconds that a process may take to end


def take_interrupts(program: str, kill: bool = False) -> None:
    """Ctrl-C raises KeyboardInterrupt; while torch loads it ends the process, because an exception there
    would make torch's C++ code abort.  A second signal does not disturb the ending that the first one began;
    some seconds later it ends the process at once.

    kill: SIGTERM raises SystemExit, so that finished work is kept and child processes end too.
    """
    home, ends_since = os.getpid(), None

    def interrupt(signum: int, frame: object) -> None:
        nonlocal ends_since
        torch = sys.modules.get("torch")
        if torch is not None and getattr(torch.__spec__, "_initializing", False):
            os._exit(interrupted(program) if signum == signal.SIGINT else TERMINATED)
        now = time.monotonic()
        since, ends_since = ends_since, ends_since or now
        hangs = since is not None and now - since > PATIENCE
        if signum == signal.SIGINT and hangs:
            os._exit(interrupted(program))
        if signum == signal.SIGTERM and (hangs or os.getpid() != home):  # a child process has nothing to keep
            os._exit(TERMINATED)
        if since is None:
            raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(TERMINATED)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # unless our parent wants it ignored
        signal.signal(signal.SIGINT, interrupt)
    if kill and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)


def interrupted(program: str) -> int:
    """Say on stderr that the program was interrupted; returns the exit code."""
    os.write(sys.stderr.fileno(), f"{program}: interrupted\n".encode())
    return 130
