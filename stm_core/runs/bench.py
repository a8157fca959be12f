"""Speed and memory of the engine on a generated clip, a row for every case.

Several cases run one after the other in processes of their own, so that one case's peak memory is not the
next one's.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from stm_core.faults import FAULT, told
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.bench_case import Case, describe, measure


def combinations(
    weights: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    engines: Sequence[str],
    memories: Sequence[MemoryConfig],
    **same: Any,
) -> list[Case]:
    """Every network at every size and dtype on every engine with every memory."""
    every = product(weights, sizes, dtypes, engines, memories)
    return [Case(w, s, d, m, engine=e, **same) for w, s, d, e, m in every]


def bench(cases: Sequence[Case], on_frame: Callable[[int], None] | None = None) -> Iterator[dict]:
    """Measure every case, one row after the other; a row that failed carries `error` in place of figures.

    on_frame: called with the number of frames that were just done.  Raises StmError when the only case is a
    mistake.
    """
    if len(cases) == 1:
        yield measure(cases[0], on_frame)
        return
    for case in cases:
        yield _measure_apart(case)
        if on_frame is not None:
            on_frame(case.frames)


def _measure_apart(case: Case) -> dict:
    """`measure` in a process with its own peaks. A case that is too large costs only its row."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_tell, args=(theirs, case, folder), daemon=True)
        _start_deaf(process)
        theirs.close()
        try:
            wait([ours, process.sentinel])
            if ours.poll():
                return ours.recv()
        except EOFError:
            pass
        finally:
            process.kill()
            process.join()
            ours.close()
    return {**describe(case), "error": "its process was killed, as happens when memory runs out"}


def _start_deaf(process: BaseProcess) -> None:
    """Start a process that ignores Ctrl-C, also while it loads; the caller ends it."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signals
        process.start()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(pipe: Connection, case: Case, folder: str) -> None:
    """Send the row of `measure` to the parent.  folder: for temporary files, which the parent removes."""
    tempfile.tempdir = folder
    try:
        row = measure(case)
    except Exception as error:  # an error of one case does not stop the others
        line, code = told(error)
        row = {**describe(case), "error": line, **({"fault": True} if code == FAULT else {})}
    pipe.send(row)
