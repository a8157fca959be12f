"""Undo and redo of everything: what a visitor marked, and which run was shown, at one time.

A moment is small: marks are frozen and shared, and the masks of runs lie in folders of their own.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from demo.work.objects import Objects
from demo.work.run import Run

UNDO_DEPTH = 100
RUNS_KEPT = 10  # tracked versions that come back without a run
# of Work: what a moment holds
PARTS = ("objects", "marks", "run", "pinned", "changed", "corrected", "rest", "approved", "flagged", "absent")


@dataclass(frozen=True)
class Moment:
    """What stood at one time.

    frame: where the next change was made.
    values: of PARTS.
    """

    frame: int
    values: dict[str, Any]

    @classmethod
    def of(cls, work: Any, frame: int) -> "Moment":
        """The moment that a work is at."""
        return cls(frame, {name: _copied(getattr(work, name)) for name in PARTS})

    @property
    def run(self) -> Run | None:
        """The run that was shown."""
        return self.values["run"]

    def restore(self, work: Any) -> None:
        """Make a work what it was."""
        for name, value in self.values.items():
            setattr(work, name, _copied(value))


def _copied(value: Any) -> Any:
    if isinstance(value, dict | set | list):
        return value.copy()  # what is in them never changes
    return deepcopy(value) if isinstance(value, Objects) else value


@dataclass
class History:
    """Moments before the present one, the latest last, and those that were undone.

    inside: a step is under way.
    """

    past: list[Moment] = field(default_factory=list)
    undone: list[Moment] = field(default_factory=list)
    inside: bool = False

    def __len__(self) -> int:
        return len(self.past)

    def add(self, moment: Moment) -> None:
        """A change was made after this moment."""
        self.past, self.undone = [*self.past, moment][-UNDO_DEPTH:], []

    def runs(self, shown: Run | None) -> set[str]:
        """Folders of the runs that can come back; moments with older ones than RUNS_KEPT are forgotten."""
        kept: dict[str, None] = {shown.folder: None} if shown else {}
        for moments in (self.undone, self.past):
            for place in range(len(moments) - 1, -1, -1):
                run = moments[place].run
                if run is not None and run.folder not in kept and len(kept) >= RUNS_KEPT:
                    del moments[: place + 1]
                    break
                kept |= {run.folder: None} if run else {}
        return set(kept)
