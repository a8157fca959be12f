"""A first come, first served lock; with Python's own, one visitor's clicks could overtake another's."""

import threading
from types import TracebackType


class InTurn:
    """A lock for `with`; those who wait get it in the order in which they came."""

    def __init__(self) -> None:
        self._came, self._served = 0, 0
        self._turn = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many threads wait, not counting the one that has the lock."""
        return max(0, self._came - self._served - 1)

    def __enter__(self) -> None:
        with self._turn:
            ticket, self._came = self._came, self._came + 1
            self._turn.wait_for(lambda: self._served == ticket)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._served += 1
            self._turn.notify_all()
