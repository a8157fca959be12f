"""`python -m stm_core`: the command, which Ctrl-C ends in one line even while it loads."""

import os
import signal
import sys

INTERRUPTED = "stm_core: interrupted"


def interrupt(signum: int, frame: object) -> None:
    """Raises KeyboardInterrupt, except while torch loads: its C++ aborts the process at an exception."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.__spec__._initializing:
        os.write(sys.stderr.fileno(), f"{INTERRUPTED}\n".encode())
        os._exit(130)
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is to be ignored
            signal.signal(signal.SIGINT, interrupt)
        from .cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = 130
        print(INTERRUPTED, file=sys.stderr)
    sys.exit(code)
