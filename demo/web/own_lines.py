"""A queue for each visitor: one visitor's requests run one after the other, and no visitor waits for another.

Gradio's lanes are shared: a request that stalls in one delays all requests behind it, whoever sent them.
`demo.web.fair_queue` decides what may wait in Gradio's own queue, and which request is next there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread

from demo.work.visitor import Overtaken

THREADS = 64  # for these requests, besides Gradio's own threads
OF_ONE = 16  # of them that one address may have: a file may take a minute, and a process of its own


class Full(Exception):
    """As many requests of this visitor are waiting as are allowed."""


@dataclass
class _Line:
    """gate: where they wait, first come, first served.  length: how many wait there, or have their turn.
    waits: the one that waits, where only the newest counts.
    """

    gate: asyncio.Semaphore
    length: int = 0
    waits: asyncio.Future | None = None


class OwnLines:
    """A queue of at most `longest` requests for each visitor and kind of request.  For one event loop."""

    def __init__(self, longest: int):
        self.longest = longest
        self._lines: dict[Any, _Line] = {}  # by (visitor, kind), and by address
        self._threads: CapacityLimiter | None = None

    async def run(
        self, caller: str, who: str, kind: str, function: Callable, *values: Any, newest: bool = False
    ) -> Any:
        """The result of the function, which runs after this visitor's earlier requests.  Raises Full.

        caller: the address of the visitor `who`.
        newest: raise Overtaken, and do nothing, when a later request of this kind comes while it waits.
        """
        self._threads = self._threads or CapacityLimiter(THREADS)
        if not newest and self._length((who, kind)) >= self.longest:
            raise Full
        with self._in((who, kind), 1) as line, self._in(caller, OF_ONE) as share:
            async with _newest(line) if newest else line.gate, share.gate:
                return await to_thread.run_sync(function, *values, limiter=self._threads)

    def _length(self, name: Any) -> int:
        return self._lines[name].length if name in self._lines else 0

    @contextmanager
    def _in(self, name: Any, at_once: int) -> Iterator[_Line]:
        """A line, which is there as long as somebody is in it."""
        line = self._lines.setdefault(name, _Line(asyncio.Semaphore(at_once)))
        line.length += 1
        try:
            yield line
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[name]


@asynccontextmanager
async def _newest(line: _Line) -> AsyncIterator[None]:
    """The line's turn.  Raises Overtaken as soon as another one comes to wait for it in the same way."""
    if line.waits is not None:
        line.waits.cancel()
    mine = line.waits = asyncio.ensure_future(line.gate.acquire())
    try:
        await mine
    except asyncio.CancelledError:
        if mine.done() and not mine.cancelled():  # it had its turn, and was given up in that moment
            line.gate.release()
        if line.waits is mine:
            raise
        raise Overtaken from None
    finally:
        if line.waits is mine:
            line.waits = None
    try:
        yield
    finally:
        line.gate.release()
