"""The life of one guarded process: take the limits, lock itself in, run the job, answer.

Everything here runs in the process that demo.guard starts, never in the server.
"""

import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import pkgutil
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
from PIL import Image

from demo.guard import sandbox, wire
from demo.guard.reading import INDEX
from stm_core import errors
from stm_core.media.decode import Decoder

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
PULSE = 0.25  # seconds between the signs of life of a job that decodes and has nothing to answer yet
ADVICE = "try another file, or convert it to MP4 (H.264) first"
# what Python and its libraries import at first use: too late once the process is locked in
PICTURES = ("ImageCms", "MpoImagePlugin", "TiffImagePlugin", "WebPImagePlugin")
LATE = ("encodings.cp437", "heapq", "mmap", "numpy.ma", *(f"PIL.{name}" for name in PICTURES))
NEVER = ("av.__main__", "av.datasets")  # of PyAV: a command, and what fetches samples


@functools.cache
def load() -> None:
    """Import what the jobs may need."""
    Image.preinit()
    of_av = (found.name for found in pkgutil.walk_packages(av.__path__, "av."))
    for name in (*LATE, *of_av):
        if name not in NEVER:
            with contextlib.suppress(ImportError):  # a Pillow without WebP
                importlib.import_module(name)


def serve(pipe: Connection, job: Callable, arguments: dict, caps: tuple[int, float]) -> None:
    """Run a job, a generator of answers, with `caps`: (CPU seconds, MB)."""
    load()
    _limit(*caps)
    _let_go(pipe.fileno())
    missing = sandbox.enter(*doors(arguments))
    Decoder.passed = staticmethod(_pulse(pipe))
    try:
        if missing:
            wire.send(pipe, json.dumps({"missing": missing}).encode())
        for message in job(**arguments):
            header, pixels = message if isinstance(message, tuple) else (message, None)
            if pixels is not None:
                header = {**header, "shape": list(pixels.shape)}
            wire.send(pipe, json.dumps(header).encode())
            if pixels is not None:
                wire.send(pipe, np.ascontiguousarray(pixels).data.cast("B"))
        wire.send(pipe, b'{"end": true}')
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
        log.warning("job %s failed: %s", job.__name__, error, exc_info=isinstance(error, PermissionError))
        _refuse(
            pipe,
            "VideoError",
            f"the server could not store or read this file ({error.strerror}); try again later",
        )
    except Exception as error:  # whatever a decoder throws at a hostile file ends here, as one sentence
        log.exception("job %s failed", job.__name__)
        _refuse(pipe, "VideoError", f"this file could not be read ({type(error).__name__}); {ADVICE}")


def _pulse(pipe: Connection) -> Callable[[], None]:
    """A function that a decoder calls at every frame, so that a long seek is not mistaken for a hang."""
    last = time.monotonic()

    def tell() -> None:
        nonlocal last
        if time.monotonic() - last > PULSE:
            wire.send(pipe, b'{"alive": true}')
            last = time.monotonic()

    return tell


def _refuse(pipe: Connection, kind: str, text: str) -> None:
    with contextlib.suppress(OSError):
        wire.send(pipe, json.dumps({"error": kind, "text": text}).encode())


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


def _let_go(kept: int) -> None:
    """Let go of the server: no variable, no terminal, no file but the pipe and the standard ones."""
    for name in list(os.environ):
        sandbox.wipe(name)
    if os.name != "posix":
        return
    gc.freeze()  # an object of the server that is collected here must not close a file of ours
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
    with contextlib.suppress(OSError):
        os.setsid()


def doors(arguments: dict) -> tuple[list[Path], list[Path]]:
    """(what a job reads, the folders it writes), by the names of its arguments.

    A job reads its `path` or `clip`, the index beside it, and `extra` files.  It writes into `folder`; with
    an `out`, it reads there and writes where that will be.
    """
    reads = [Path(arguments[name]) for name in ("path", "clip") if name in arguments]
    reads += [clip.with_name(INDEX) for clip in reads]
    reads += map(Path, arguments.get("extra", {}).values())
    folders = [Path(arguments["folder"])] if "folder" in arguments else []
    if "out" in arguments:
        return reads + folders, [Path(arguments["out"]).parent]
    return reads, folders
