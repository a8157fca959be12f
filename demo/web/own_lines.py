"""A queue for each visitor: one visitor's requests run one after the other, and no visitor waits for another.

Gradio's lanes are shared: a request that stalls in one delays all requests behind it, whoever sent them.
`demo.web.fair_queue` decides what may wait in Gradio's own queue, and which request is next there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter, to_thread

THREADS = 64  # for these requests, besides Gradio's own threads


class Full(Exception):
    """As many requests of this visitor are waiting as are allowed."""


@dataclass
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    length: int = 0


class OwnLines:
    """A queue of at most `longest` requests for each visitor and kind of request.  For one event loop."""

    def __init__(self, longest: int):
        self.longest = longest
        self._lines: dict[tuple[str, str], _Line] = {}
        self._threads: CapacityLimiter | None = None

    async def run(self, who: str, kind: str, function: Callable, *values):
        """The result of the function, which runs after this visitor's earlier requests.  Raises Full."""
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
