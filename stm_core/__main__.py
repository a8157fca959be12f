"""`python -m stm_core`: the command."""

import sys

if __name__ == "__main__":
    try:
        from .cli import main

        code = main()
    except KeyboardInterrupt:  # while the command itself was loading
        code = 130
        print("stm_core: interrupted", file=sys.stderr)
    sys.exit(code)
