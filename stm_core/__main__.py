"""`python -m stm_core`: the command."""

import sys

from stm_core.commands.signals import interrupted, take_interrupts

PROGRAM = "stm_core"

if __name__ == "__main__":
    try:
        take_interrupts(PROGRAM, kill=True)
        from stm_core.commands.cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = interrupted(PROGRAM)
    sys.exit(code)
