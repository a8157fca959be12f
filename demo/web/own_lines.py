"""A queue for each visitor: one visitor's requests run one after the other, and no visitor waits for another.

Gradio's lanes are shared: a request that stalls in one delays all requests behind it, whoever sent them.
`demo.web.fair_queue` decides what may wait in Gradio's own queue, and which request is next there.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """turn: where they wait, first come, first served.  length: how many wait there, or have their turn.
    came: how many came so far.
    """

    turn: asyncio.Semaphore
    length: int = 0
    came: int = 0


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
        newest: raise Overtaken, and do nothing, when a later request of this kind came while it waited.
        """
        self._threads = self._threads or CapacityLimiter(THREADS)
        if self._length((who, kind)) >= self.longest:
            raise Full
        with self._in((who, kind), 1) as line, self._in(caller, OF_ONE) as share:
            line.came += 1
            number = line.came
            async with line.turn, share.turn:
                if newest and line.came > number:
                    raise Overtaken
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
