"""The wall around untrusted media: every job that parses a visitor's bytes runs in its own short-lived
process.

The process has limits of memory, CPU time and file size, and answers over a pipe in JSON and raw pixels
(never pickle: a decoder that was taken over must not be able to hand code back).  A hang, a decompression
bomb or a native crash therefore costs one visitor one sentence.  Processes come from a fork server that
has the decoders loaded, so that one starts in about 10 ms; where the system has no fork (Windows) a fresh
interpreter is started and the limits shrink to the time limit.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from demo import decode, export
from demo.limits import Limits
from stm_core import errors
from stm_core.media.decode import Decoder

try:
    import resource
except ImportError:  # Windows
    resource = None

log = logging.getLogger(__name__)
JOBS = {**decode.JOBS, **export.JOBS}
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PULSE = 0.25  # seconds between the signs of life of a job that decodes and has nothing to answer yet
ADVICE = "try another file, or convert it to MP4 (H.264) first"


class Guard:
    """Runs the jobs of demo.decode and demo.export, each in a process of its own, under `limits`."""

    def __init__(self, limits: Limits):
        self.limits, self.home = limits, os.getpid()
        self.context = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            self.context.set_forkserver_preload(["demo.guard"])

    def call(self, job: str, *, cpu_seconds: float | None = None, **arguments) -> dict:
        """The last answer of a job.  StmError when the job refuses, hangs, crashes or runs out of memory."""
        return [answer for answer, _ in self.stream(job, cpu_seconds=cpu_seconds, **arguments)][-1]

    def pixels(self, job: str, **arguments) -> np.ndarray:
        """The one array that a job answers with.  StmError as `call`."""
        [found] = [pixels for _, pixels in self.stream(job, **arguments)]
        return found

    def stream(
        self, job: str, *, cpu_seconds: float | None = None, **arguments
    ) -> Iterator[tuple[dict, np.ndarray | None]]:
        """A job's answers as they come: (dict, uint8 array or None).

        Closing the generator ends the process.
        """
        context = self.context if os.getpid() == self.home else _away_from_home()
        ours, theirs = context.Pipe(duplex=False)
        # plain text only: a subclass of str from a web framework would make the process load that framework
        arguments = {
            key: str(value) if isinstance(value, (str, Path)) else value for key, value in arguments.items()
        }
        cpu_seconds = int(cpu_seconds or self.limits.decode_seconds)
        caps = (cpu_seconds, self.limits.decode_mb)
        process = context.Process(target=_serve, args=(theirs, job, arguments, caps), daemon=True)
        process.start()
        theirs.close()
        try:
            yield from self._answers(partial(self._receive, ours, process, cpu_seconds))
        finally:
            ours.close()
            if process.is_alive():
                process.kill()
            process.join()
            process.close()

    def _answers(self, receive: Callable[[], bytes]) -> Iterator[tuple[dict, np.ndarray | None]]:
        while True:
            header = json.loads(receive())
            if "alive" in header:
                continue
            if "error" in header:
                raise _error(header)
            if "end" in header:
                return
            pixels = None
            if "shape" in header:
                flat = np.frombuffer(bytearray(receive()), np.uint8)  # writable, as torch wants it
                pixels = flat.reshape(header.pop("shape"))
            yield header, pixels

    def _receive(self, pipe, process, cpu_seconds: int) -> bytes:
        if not pipe.poll(self.limits.stall_seconds):
            raise errors.VideoError(
                f"reading this file made no progress for {self.limits.stall_seconds} s and was given up; "
                f"{ADVICE}"
            )
        try:
            return pipe.recv_bytes()
        except (EOFError, OSError) as error:
            process.join(5)
            log.warning("a decoding process ended with code %s", process.exitcode)
            raise errors.VideoError(_ending(process.exitcode, cpu_seconds)) from error

    def frames(self, path: Path, start: int, stop: int, *, reverse: bool = False, **arguments):
        """Upright RGB frames start ..

        stop-1 of a clip (or back from stop-1), uint8 (H, W, 3), decoded next door.
        """
        job = self.stream(
            "frames", cpu_seconds=3600, path=str(path), start=start, stop=stop, reverse=reverse, **arguments
        )
        with contextlib.closing(job):
            for _, pixels in job:
                yield pixels


def _away_from_home():
    """Where processes come from in a ZeroGPU worker: forked from the server as a daemon, it may have no
    children at first, and the fork server is not its own.
    """
    multiprocessing.current_process().daemon = False
    return multiprocessing.get_context("spawn")


def _error(header: dict) -> errors.StmError:
    kind = getattr(errors, header["error"], errors.VideoError)
    if not (isinstance(kind, type) and issubclass(kind, errors.StmError)):
        kind = errors.VideoError
    return kind(str(header["text"])[:500])


def _ending(code: int | None, cpu_seconds: int) -> str:
    if code == -24:  # SIGXCPU
        return f"reading this file took over {cpu_seconds} s of computing and was stopped; {ADVICE}"
    return f"the decoder crashed on this file (code {code}), it is probably damaged; {ADVICE}"


def _serve(pipe, job: str, arguments: dict, caps: tuple[int, float]) -> None:
    """The life of one process: take the limits, run the job, answer."""
    _limit(*caps)
    Decoder.passed = staticmethod(_pulse(pipe))
    try:
        for message in JOBS[job](**arguments):
            header, pixels = message if isinstance(message, tuple) else (message, None)
            if pixels is not None:
                header = {**header, "shape": list(pixels.shape)}
            pipe.send_bytes(json.dumps(header).encode())
            if pixels is not None:
                pipe.send_bytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
        pipe.send_bytes(b'{"end": true}')
    except errors.StmError as error:
        _refuse(pipe, type(error).__name__, errors.for_visitors(error))
    except MemoryError:
        _refuse(
            pipe,
            "LimitError",
            f"reading this file needs more than {caps[1]:.0f} MB of memory; use a smaller one",
        )
    except (BrokenPipeError, ConnectionResetError):
        pass  # the visitor went away
    except OSError as error:
        _refuse(
            pipe,
            "VideoError",
            f"the server could not store or read this file ({error.strerror}); try again later",
        )
    except Exception as error:  # whatever a decoder throws at a hostile file ends here, as one sentence
        log.exception("job %s failed", job)
        _refuse(pipe, "VideoError", f"this file could not be read ({type(error).__name__}); {ADVICE}")


def _pulse(pipe) -> Callable[[], None]:
    """What a decoder calls at every frame, so that a long way to the wanted one is not taken for a hang."""
    last = time.monotonic()

    def tell() -> None:
        nonlocal last
        if time.monotonic() - last > PULSE:
            pipe.send_bytes(b'{"alive": true}')
            last = time.monotonic()

    return tell


def _refuse(pipe, kind: str, text: str) -> None:
    with contextlib.suppress(OSError):
        pipe.send_bytes(json.dumps({"error": kind, "text": text}).encode())


def _limit(cpu_seconds: int, megabytes: float) -> None:
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 2**30, 4 * 2**30))
    with contextlib.suppress(OSError, ValueError):  # macOS has no such limit
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        total = used + int(megabytes) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (total, total))
