"""The runs that wait for their turn, and how many may."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from demo.limits import Limits
from demo.work.run import Run
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import LimitError

GRACE = 60  # seconds in which a browser that was given a place asks for the run


@dataclass(frozen=True)
class _Place:
    visitor: Visitor
    run: Run
    since: float  # time.monotonic()


class Waiting:
    """The runs of all visitors that wait.

    comes: whether a visitor's browser has asked for its run, which the page knows.
    """

    def __init__(self, limits: Limits):
        self._limits, self._lock = limits, Lock()
        self._lined_up: list[_Place] = []  # those that wait, or waited
        self.comes: Callable[[Visitor], bool] = lambda visitor: True

    def join(self, visitor: Visitor, work: Work, run: Run, asked: tuple) -> None:
        """Let a run of the work wait for its turn, with what was asked of it; if one waits already, that one.

        LimitError when too many wait, in all or from one address.
        """
        with self._lock:
            if work.busy:
                if work.current is not None and work.current.trial == run.trial:
                    work.current.asked = asked
                return
            run.asked = asked
            if self._full(visitor.caller):
                self._drop_absent()
            if told := self._full(visitor.caller):
                raise LimitError(told)
            self._lined_up.append(_Place(visitor, run, time.monotonic()))
            work.current = run

    def _full(self, caller: str) -> str:
        """Why one more run of this caller may not wait; "" when it may."""
        self._lined_up = [one for one in self._lined_up if one.run.state == "waiting"]
        waiting, mine = len(self._lined_up), sum(one.visitor.caller == caller for one in self._lined_up)
        if waiting >= self._limits.queue_size:
            return f"{waiting} runs are waiting already, the most allowed here; try again in a minute"
        if caller and mine >= self._limits.runs_of_one:
            return f"{mine} runs from your address are waiting, the most allowed; wait until one has ended"
        return ""

    def _drop_absent(self) -> None:
        """End the runs that got a place and that no browser asked for: anybody can send half of a press."""
        for one in self._lined_up:
            if time.monotonic() - one.since > GRACE and not self.comes(one.visitor):
                one.run.end()
