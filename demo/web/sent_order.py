"""The order in which a page sent its requests: two quick ones may overtake each other on the way, and in
Gradio, which reads their values in threads.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field

PATIENCE = 1.0  # seconds that a request waits for one before it, which may be lost
PAGES = 1000  # whose last request is known


@dataclass
class _Page:
    """What is known of one page.

    came: the turn up to which all requests came or were given up.
    waiting: turns of those that wait for one before them.
    news: set when `came` grows.
    """

    came: int = 0
    waiting: set[int] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def reach(self, turn: int) -> None:
        """All up to this turn came or were given up."""
        self.came = max(self.came, turn)
        self.news.set()
        self.news = asyncio.Event()


class SentOrder:
    """The numbered requests of all pages.  For one event loop."""

    def __init__(self):
        self._pages: dict[Hashable, _Page] = {}

    async def wait(self, page: Hashable, turn: int) -> None:
        """Returns when the requests that a page sent before its request `turn` (1, 2, ...) have come.

        One that is PATIENCE seconds late is given up.
        """
        known = self._pages[page] = self._pages.pop(page, None) or _Page()
        for old in list(self._pages)[:-PAGES]:
            del self._pages[old]
        known.waiting.add(turn)
        try:
            while turn > known.came + 1:
                news = known.news
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), PATIENCE)
                if not news.is_set():  # the next one after those that came does not come
                    known.reach(min(known.waiting) - 1)
        finally:
            known.waiting.discard(turn)
        known.reach(turn)
