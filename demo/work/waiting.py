"""The runs that wait for their turn, and how many may."""

from threading import Lock

from demo.limits import Limits
from demo.work.run import Run
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import LimitError


class Waiting:
    """The runs of all visitors that wait."""

    def __init__(self, limits: Limits):
        self._limits, self._lock = limits, Lock()
        self._lined_up: list[tuple[str, Run]] = []  # (caller, run): those that wait, or waited

    def join(self, visitor: Visitor, work: Work, run: Run) -> None:
        """Let a run of the work wait for its turn, unless another one waits or is under way already.

        LimitError when too many wait, in all or from one address.
        """
        with self._lock:
            if work.busy:
                return
            self._lined_up = [(caller, one) for caller, one in self._lined_up if one.state == "waiting"]
            waiting, mine = len(self._lined_up), sum(caller == visitor.caller for caller, _ in self._lined_up)
            if waiting >= self._limits.queue_size:
                raise LimitError(
                    f"{waiting} runs are waiting already, the most allowed here; try again in a minute"
                )
            if visitor.caller and mine >= self._limits.runs_of_one:
                raise LimitError(
                    f"{mine} runs from your address are waiting, the most allowed; wait until one has ended"
                )
            self._lined_up.append((visitor.caller, run))
            work.current = run
