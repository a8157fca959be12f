"""How a failed command ends: exit code 2 for the caller's mistake, 70 for a fault of ours, and one line."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from stm_core.errors import LimitError, StmError

DONE, MISTAKE, FAULT, INTERRUPTED = 0, 2, 70, 130
ROOT = Path(__file__).parent.parent
OURS = ("stm_core", "demo", "app.py")
OUT_OF_MEMORY = (
    "there is not enough memory for a picture of this size; choose a smaller processing size (--size) or a "
    "lower memory limit (--budget-mb), or try again when fewer programs are running here"
)
_ALLOCATION = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the GPU or of the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _ALLOCATION)


@contextlib.contextmanager
def memory_told() -> Iterator[None]:
    """Turn running out of memory inside the block into a LimitError with the text OUT_OF_MEMORY."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise LimitError(OUT_OF_MEMORY) from error


def told(error: BaseException) -> tuple[str, int]:
    """The line and the exit code for an error that ended a command."""
    if isinstance(error, StmError):
        return " ".join(str(error).split()), MISTAKE
    if out_of_memory(error):
        return OUT_OF_MEMORY, MISTAKE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk that the output goes to is full; free some space, or choose another place", MISTAKE
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}; check the path", MISTAKE
    lines = str(error).strip().splitlines() or ["no message"]
    return (
        f"a fault of ours, not of yours: {type(error).__name__}: {lines[0]}; please report it with the "
        f"command line and this: {_place(error)}, {_versions()} (STM_DEBUG=1 shows the traceback)"
    ), FAULT


def tell(program: str, error: Exception) -> int:
    """Print that line on stderr and return the exit code.  STM_DEBUG=1 adds the traceback of a fault."""
    line, code = told(error)
    if code == FAULT and os.environ.get("STM_DEBUG"):
        traceback.print_exception(error)
    print(f"{program}: {line}", file=sys.stderr)
    return code


def _place(error: BaseException) -> str:
    """The last line of our code that the error came from, as file:line."""
    found = "no line of ours"
    for frame in traceback.extract_tb(error.__traceback__):
        with contextlib.suppress(ValueError):
            path = Path(frame.filename).resolve().relative_to(ROOT)
            if path.parts[0] in OURS:
                found = f"{path.as_posix()}:{frame.lineno}"
    return found


def _versions() -> str:
    """The versions of Python, torch and this project, in words; loads nothing."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = "missing"
    return f"Python {platform.python_version()}, torch {torch}, commit {_commit()}"


def _commit() -> str:
    """The commit that is checked out, short; "unknown" where there is none."""
    with contextlib.suppress(OSError, IndexError):
        head = (ROOT / ".git" / "HEAD").read_text().split()
        return (head[0] if len(head) == 1 else (ROOT / ".git" / head[1]).read_text().strip())[:12]
    return "unknown"
