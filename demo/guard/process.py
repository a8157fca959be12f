"""The guard of untrusted media: every job that parses a visitor's bytes runs in its own short-lived process.

The process has limits of memory, CPU time and file size, sees an empty environment, the file it reads and
the folder it writes (`sandbox`), and answers over a pipe in JSON and raw pixels.  It never sends a pickle,
because an attacker who took over a decoder could send code in it.  So a hang, a decompression bomb, a native
crash or a takeover does no more harm than an error message to one visitor.  Processes come from a fork server
that has the decoders loaded, so that one starts in about 10 ms.  Where the system has no fork (Windows), a
fresh interpreter is started, and of the limits only the one of time applies.
"""

import contextlib
import functools
import multiprocessing
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from demo.guard import exports as export
from demo.guard import reading as decode
from demo.guard.answers import Answers, unsound
from demo.guard.inside import serve
from demo.limits import PROGRAM, Limits

JOBS = {**decode.JOBS, **export.JOBS}
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
# of the server's environment, what a process needs to know
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
# one thread at first, which `sandbox` can bind; nothing imported from the folder where the server began
ADDED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
_starting = threading.Lock()


class Guard:
    """Runs the jobs of `reading` and `exports`, each in a process of its own, under `limits`."""

    def __init__(self, limits: Limits):
        self.limits, self.home = limits, os.getpid()
        self.context: Any = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            self.context.set_forkserver_preload(["demo.guard.nursery"])
            _start_fork_server()

    def call(self, job: str, *, cpu_seconds: float | None = None, **arguments: Any) -> dict:
        """The last answer of a job.  StmError when the job refuses, hangs, crashes or runs out of memory."""
        last = {}
        for answer, _ in self.stream(job, cpu_seconds=cpu_seconds, **arguments):
            last = answer  # only the last one is held, however many answers come
        return last

    def pixels(self, job: str, **arguments: Any) -> np.ndarray:
        """The first array that a job answers with, which then ends.  StmError as `call`."""
        with contextlib.closing(self.stream(job, **arguments)) as answers:
            for _, pixels in answers:
                if pixels is not None:
                    return pixels
        raise unsound()

    def stream(
        self, job: str, *, cpu_seconds: float | None = None, **arguments: Any
    ) -> Generator[tuple[dict, np.ndarray | None], None, None]:
        """A job's answers as they come: (dict, uint8 array or None).

        Closing the generator ends the process.
        """
        at_home = os.getpid() == self.home
        context = self.context if at_home else _away_from_home()
        ours, theirs = context.Pipe(duplex=False)
        # plain text only: a subclass of str from a web framework would make the process load that framework
        arguments = {
            key: str(value) if isinstance(value, (str, Path)) else value for key, value in arguments.items()
        }
        cpu_seconds = int(cpu_seconds or self.limits.decode_seconds)
        caps = (cpu_seconds, self.limits.decode_mb)
        process = context.Process(target=serve, args=(theirs, JOBS[job], arguments, caps), daemon=True)
        with contextlib.nullcontext() if at_home else _little_environment():
            process.start()
        theirs.close()
        try:
            yield from Answers(ours, process, cpu_seconds, self.limits)
        finally:
            ours.close()
            if process.is_alive():
                process.kill()
            process.join()
            process.close()

    def frames(
        self, path: Path, start: int, stop: int, *, reverse: bool = False, **arguments: Any
    ) -> Generator[np.ndarray, None, None]:
        """Upright RGB frames start to stop - 1 of a clip (or back from there), uint8 (H, W, 3)."""
        job = self.stream(
            "frames", cpu_seconds=3600, path=str(path), start=start, stop=stop, reverse=reverse, **arguments
        )
        with contextlib.closing(job):
            for _, pixels in job:
                if pixels is not None:
                    yield pixels


@functools.cache
def _start_fork_server() -> None:
    """Start it, once; it never sees the server's environment."""
    from multiprocessing import forkserver  # nothing for Windows

    with _little_environment():
        forkserver.ensure_running()


@contextlib.contextmanager
def _little_environment() -> Iterator[None]:
    """Inside, processes are started with only what Python needs in their environment."""
    with _starting:
        known = dict(os.environ)
        little = {name: known[name] for name in KEPT if name in known} | ADDED
        little["PYTHONPATH"] = os.pathsep.join([str(PROGRAM), *filter(None, [known.get("PYTHONPATH")])])
        try:
            os.environ.clear()
            os.environ.update(little)
            yield
        finally:
            os.environ.clear()
            os.environ.update(known)


def _away_from_home() -> Any:
    """The way to start processes in a ZeroGPU worker: it was forked from the server as a daemon, so at first
    it may have no children, and the fork server is not its own.
    """
    multiprocessing.current_process().daemon = False
    return multiprocessing.get_context("spawn")
