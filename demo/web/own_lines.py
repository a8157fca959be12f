"""A line for each visitor: the requests of one are done one after the other, and nobody waits behind another.

Gradio's own lanes are shared: a request that stalls in one holds all that come after it, whoever sent them.
What may wait in Gradio's queue, and who is next there, is `demo.web.fair_queue`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter, to_thread

THREADS = 64  # that work on the lines, apart from Gradio's own


class Full(Exception):
    """So many requests of this visitor wait already that no further one is taken."""


@dataclass
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    length: int = 0


class OwnLines:
    """One line for each visitor and kind of request, `longest` requests at most.  For one event loop."""

    def __init__(self, longest: int):
        self.longest = longest
        self._lines: dict[tuple[str, str], _Line] = {}
        self._threads: CapacityLimiter | None = None

    async def run(self, who: str, kind: str, function: Callable, *values):
        """What the function answers, once this visitor's requests before it are done.  Full."""
        self._threads = self._threads or CapacityLimiter(THREADS)
        line = self._lines.setdefault((who, kind), _Line())
        if line.length >= self.longest:
            raise Full
        line.length += 1
        try:
            async with line.turn:
                return await to_thread.run_sync(function, *values, limiter=self._threads)
        finally:
            line.length -= 1
            if not line.length:
                self._lines.pop((who, kind), None)
