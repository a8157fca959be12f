"""`python -m stm_core`: the command, which Ctrl-C and `kill` end cleanly, even while it loads."""

import os
import signal
import sys

PROGRAM = "stm_core"
TERMINATED = 128 + signal.SIGTERM


def take_interrupts(program: str, kill: bool = False) -> None:
    """Ctrl-C raises KeyboardInterrupt, except while torch loads: its C++ aborts the process at an exception.

    kill: SIGTERM raises SystemExit, so that what is finished is kept and children end too.
    """
    under_way = False

    def interrupt(signum: int, frame: object) -> None:
        nonlocal under_way
        torch = sys.modules.get("torch")
        if torch is not None and torch.__spec__._initializing:
            os._exit(interrupted(program) if signum == signal.SIGINT else TERMINATED)
        before, under_way = under_way, True
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        if not before:  # else it is ending already
            sys.exit(TERMINATED)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is to be ignored
        signal.signal(signal.SIGINT, interrupt)
    if kill and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)


def interrupted(program: str) -> int:
    """Says so; returns the exit code."""
    os.write(sys.stderr.fileno(), f"{program}: interrupted\n".encode())
    return 130


if __name__ == "__main__":
    try:
        take_interrupts(PROGRAM, kill=True)
        from .cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = interrupted(PROGRAM)
    sys.exit(code)
