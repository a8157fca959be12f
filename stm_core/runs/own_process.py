"""A measurement in a process of its own, so that its peak of memory belongs to nothing else."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from stm_core.faults import FAULT, told

Work = Callable[[Any], dict]


def in_own_process(work: Work, given: Any) -> dict:
    """What `work(given)` returns in another process, or {"error": a sentence} if it fails.

    work: a function at the top level of a module; it and `given` are pickled.
    After a fault of ours the dictionary also has `fault`.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_tell, args=(theirs, work, given, folder), daemon=True)
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
    return {"error": "its process was killed, probably because memory ran out; try a smaller size"}


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


def _tell(pipe: Connection, work: Work, given: Any, folder: str) -> None:
    """Send what `work` returns to the parent.  folder: for temporary files, which the parent removes."""
    tempfile.tempdir = folder
    try:
        row = work(given)
    except Exception as error:  # an error of one case does not stop the others
        line, code = told(error)
        row = {"error": line, **({"fault": True} if code == FAULT else {})}
    pipe.send(row)
