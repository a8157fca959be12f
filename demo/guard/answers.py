"""Answers of a guarded process, read from its pipe.

The process may be under an attacker's control: every message has a limit of length and of time, and anything
that is not an answer ends the job with one sentence.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from demo.guard import sandbox, wire
from demo.guard.inside import ADVICE
from demo.limits import Limits
from stm_core import errors

log = logging.getLogger(__name__)
LARGEST_TEXT = (
    64 * 2**20
)  # bytes of a JSON answer: the saved work in a ZIP may have 16 MB, written wider here
CHANNELS = 3  # of the pixels that a job answers with, at most
PATIENCE = 10  # a job may take so many times its CPU seconds, because other jobs need the processor too
_told: set[str] = set()  # what the log said already


class Answers:
    """Iterates over (dict, uint8 array or None).  StmError when the job refuses, hangs or crashes."""

    def __init__(self, pipe: Connection, process: BaseProcess, cpu_seconds: int, limits: Limits):
        self.pipe, self.process, self.cpu_seconds, self.limits = pipe, process, cpu_seconds, limits
        self.waited = 0.0  # seconds, for all messages so far

    def __iter__(self) -> Iterator[tuple[dict, np.ndarray | None]]:
        try:
            while "end" not in (header := self._header()):
                if "alive" in header:
                    continue
                if "missing" in header:
                    _tell([key for key in sandbox.MISSING if key in header["missing"]])
                    continue
                if "error" in header:
                    raise _error(header)
                pixels = self._pixels(header.pop("shape")) if "shape" in header else None
                yield header, pixels
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise unsound() from error

    def _header(self) -> dict:
        header = json.loads(self._message(LARGEST_TEXT))
        if not isinstance(header, dict):
            raise TypeError("an answer is a dict")
        return header

    def _pixels(self, shape: list[int]) -> np.ndarray:
        data = self._message(CHANNELS * self.limits.max_pixels)
        if min(shape) < 1 or math.prod(shape) != len(data):
            raise ValueError("as many pixels as bytes")
        writable = bytearray(data) if isinstance(data, bytes) else data  # as torch wants it
        return np.frombuffer(writable, np.uint8).reshape(shape)

    def _message(self, most: int) -> bytes | bytearray:
        """The next message, of at most `most` bytes; once begun it must be whole in `stall_seconds`."""
        began, stall = time.monotonic(), self.limits.stall_seconds
        try:
            if not self.pipe.poll(max(0, min(stall, PATIENCE * self.cpu_seconds - self.waited))):
                raise TimeoutError("nothing came")
            return wire.receive(self.pipe, most, stall)
        except TimeoutError as error:
            raise self._hang() from error
        except (EOFError, OSError) as error:
            self.process.join(5)
            if self.process.exitcode is None:  # it closed the pipe and lives on
                raise unsound() from error
            log.warning("a decoding process ended with code %s", self.process.exitcode)
            raise errors.VideoError(_ending(self.process.exitcode, self.cpu_seconds)) from error
        finally:
            self.waited += time.monotonic() - began

    def _hang(self) -> errors.VideoError:
        return errors.VideoError(
            f"reading this file made no progress for {self.limits.stall_seconds} s and was stopped; {ADVICE}"
        )


def _tell(missing: list[str]) -> None:
    """One line in the log, once for a server."""
    news = [key for key in missing if key not in _told]
    _told.update(news)
    if news:
        words = "; ".join(sandbox.MISSING[key] for key in news)
        log.warning("decoding processes are less locked in than on a newer Linux: %s", words)


def unsound() -> errors.VideoError:
    """The error for an answer that no honest decoder gives."""
    return errors.VideoError(f"the decoder gave an invalid answer for this file and was stopped; {ADVICE}")


def _error(header: dict) -> errors.StmError:
    kind = getattr(errors, str(header["error"]), errors.VideoError)
    if not (isinstance(kind, type) and issubclass(kind, errors.StmError)):
        kind = errors.VideoError
    return kind(str(header["text"])[:500])


def _ending(code: int, cpu_seconds: int) -> str:
    if code == -24:  # SIGXCPU
        return f"reading this file took over {cpu_seconds} s of processor time and was stopped; {ADVICE}"
    return f"the decoder crashed on this file (code {code}), which is probably damaged; {ADVICE}"
