"""`python -m stm_core`: the command, which Ctrl-C ends in one line even while it loads."""

import os
import signal
import sys

PROGRAM = "stm_core"


def take_interrupts(program: str) -> None:
    """Ctrl-C raises KeyboardInterrupt, except while torch loads: its C++ aborts the process at an exception.
    """

    def interrupt(signum: int, frame: object) -> None:
        torch = sys.modules.get("torch")
        if torch is not None and torch.__spec__._initializing:
            os._exit(interrupted(program))
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is to be ignored
        signal.signal(signal.SIGINT, interrupt)


def interrupted(program: str) -> int:
    """Says so; returns the exit code."""
    os.write(sys.stderr.fileno(), f"{program}: interrupted\n".encode())
    return 130


if __name__ == "__main__":
    try:
        take_interrupts(PROGRAM)
        from .cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = interrupted(PROGRAM)
    sys.exit(code)
