"""Threads that read ahead of the computation and write behind it, always with a bounded queue.

Decoding and encoding release the interpreter lock, so they cost almost no time while the network computes.
The bound keeps memory flat, whichever side is slower.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
DEPTH = 4  # pictures waiting on either side: at 1080p about 25 MB
_TICK = 0.1  # seconds between checks for a stop while a queue is full
_END = object()


def read_ahead(items: Iterable[T], depth: int = DEPTH, *, patient: bool = True) -> Generator[T, None, None]:
    """Yield the items in order while a thread prepares up to `depth` of them.

    patient: closing waits for the item that is being prepared.
    An error in `items` is raised here, in its turn. Closing the generator stops the thread, which closes
    `items` itself: a decoder is closed by the thread that uses it.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, waiting, stop), name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        if patient:
            thread.join()


def _produce(items: Iterable, waiting: queue.Queue, stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(waiting, (item, None), stop):
                break
        else:
            _put(waiting, (_END, None), stop)
    except BaseException as error:  # whatever it is, it is raised in the reader's thread instead
        _put(waiting, (None, error), stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            try:
                close()
            except Exception:  # the reader is gone
                log.debug("closing what was read ahead failed", exc_info=True)


def _put(waiting: queue.Queue, item: Any, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            waiting.put(item, timeout=_TICK)
            return True
        except queue.Full:
            continue
    return False


class WriteBehind:
    """Calls `work(*args)` in a thread, in order, with at most `depth` calls waiting.

    The first error ends the work: the next call or `close` raises it, and calls still waiting are dropped.
    """

    def __init__(self, work: Callable[..., Any], depth: int = DEPTH):
        self._work = work
        self._error: BaseException | None = None
        self._waiting: queue.Queue = queue.Queue(depth)
        self._thread = threading.Thread(target=self._consume, name="write-behind", daemon=True)
        self._thread.start()

    def __call__(self, *args: Any) -> None:
        """Queue one call; waits while the queue is full.  Raises the error of an earlier call."""
        if self._error is not None:
            raise self._error
        self._waiting.put(args)

    def close(self) -> None:
        """Wait until everything queued is done.  Raises the first error; safe to call twice."""
        if self._thread.is_alive():
            self._waiting.put(_END)
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _consume(self) -> None:
        while (args := self._waiting.get()) is not _END:
            if self._error is None:
                try:
                    self._work(*args)
                except BaseException as error:  # raised in the caller's thread instead
                    self._error = error
