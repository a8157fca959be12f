"""`python -m stm_core`: the command, which Ctrl-C and `kill` end cleanly, even while it loads."""

import os
import signal
import sys
import time

PROGRAM = "stm_core"
TERMINATED = 128 + signal.SIGTERM
PATIENCE = 5  # seconds that a process may take to end


def take_interrupts(program: str, kill: bool = False) -> None:
    """Ctrl-C raises KeyboardInterrupt, except while torch loads: its C++ aborts the process at an exception.

    kill: SIGTERM raises SystemExit, so that what is finished is kept and children end too; once more after
    some seconds, it ends the process as it is.
    """
    home, ends_since = os.getpid(), None

    def interrupt(signum: int, frame: object) -> None:
        nonlocal ends_since
        torch = sys.modules.get("torch")
        if torch is not None and torch.__spec__._initializing:
            os._exit(interrupted(program) if signum == signal.SIGINT else TERMINATED)
        now = time.monotonic()
        since, ends_since = ends_since, ends_since or now
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        if os.getpid() != home or since is not None and now - since > PATIENCE:  # a worker; or it hangs
            os._exit(TERMINATED)
        if since is None:
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
        from stm_core.commands.cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = interrupted(PROGRAM)
    sys.exit(code)
