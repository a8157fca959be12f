"""The work on one opened clip: objects, marks, undo, prompts, and the run whose masks are shown.

Knows no Gradio and holds no tensors.  Pictures and the masks of runs lie in the clip's folder.  Every mistake
of the visitor is a StmError whose text is shown as it is.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demo.work.compared import Compared
from demo.work.history import History, Moment
from demo.work.marks import Marks
from demo.work.objects import Objects
from demo.work.offered import Choices
from demo.work.opened import Clip
from demo.work.run import Run
from stm_core.masks.mask_files import decode_mask


@dataclass(eq=False)
class Work:
    """Everything about one opened clip.  Another clip, or another part of it, is another Work.

    frame: the frame that is shown.
    marks: by frame.
    history: what can be undone and done again.
    run: whose masks are shown.
    current: the run that waits or is under way; its masks are shown from its first frame on.
    pinned: marked frames that the shown masks were made from.
    changed: frames marked or corrected since.
    corrected: frames corrected since the whole clip was tracked; each can be continued from again, in
        either direction.
    absent: ranges of frames (first, last) in which an object is gone, by object.
    approved, flagged: (frame, object) that the visitor found right, or wants to look at.
    rest: where runs were stopped: (the last frame with a mask, direction of those without).
    sharp: frames whose lossless picture is on disk, oldest first.
    proxies: how many small pictures are on disk, from the first frame on.
    jump: grows when the browser must go to `frame`.
    unread: saved work that came with the clip and was not restored yet.
    compared: the last comparison of memories.
    intro: the sentence about an example that is marked already.
    choices: other masks that the first click of an object, made last, may mean.
    seconds: forecast of a run over the clip; 0 while it is not known.
    """

    clip: Clip
    frame: int = 0
    objects: Objects = field(default_factory=Objects)
    marks: dict[int, Marks] = field(default_factory=dict)
    history: History = field(default_factory=History)
    run: Run | None = None
    current: Run | None = None
    pinned: tuple[int, ...] = ()
    changed: set[int] = field(default_factory=set)
    corrected: list[int] = field(default_factory=list)
    rest: list[tuple[int, int]] = field(default_factory=list)
    absent: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    approved: set[tuple[int, int]] = field(default_factory=set)
    flagged: set[tuple[int, int]] = field(default_factory=set)
    sharp: dict[int, None] = field(default_factory=dict)
    proxies: int = 0
    jump: int = 0
    unread: dict | None = None
    compared: Compared | None = None
    intro: str = ""
    choices: Choices | None = None
    seconds: float = 0.0

    @classmethod
    def begin(cls, clip: Clip) -> "Work":
        """The work on a clip whose first frame was read."""
        return cls(clip, frame=clip.start, sharp={clip.start: None})

    def go(self, index: int) -> int:
        """Show a frame; an index outside the clip goes to the nearest one."""
        self.frame = min(max(int(index), self.clip.start), self.clip.stop - 1)
        return self.frame

    # runs -------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a run waits or is under way."""
        return self.current is not None and self.current.under_way

    @property
    def running(self) -> bool:
        """Whether a run is under way, so that nothing may be marked."""
        return self.current is not None and self.current.state == "running"

    @property
    def tracked(self) -> bool:
        """Whether there are masks of a run."""
        return self.run is not None and bool(self.run.records)

    def show(self, run: Run) -> None:
        """Show the masks of a run that is under way.  Those before come back with undo."""
        with self.one_step():
            self.replace_run(run)

    def replace_run(self, run: Run | None) -> None:
        """Show another run.  The one before keeps all its files: a film of it may be under way."""
        before, self.run = self.run, run
        if run is not None:
            run.filmed = False  # the player shows another one's
        whole = {one.folder for one in (run, before, self.current) if one}
        kept = self.history.runs(run) | whole
        for folder in Path(self.clip.folder).glob("run-*"):
            if str(folder) not in kept:
                shutil.rmtree(folder, ignore_errors=True)
            elif str(folder) not in whole:
                shutil.rmtree(folder / "files", ignore_errors=True)  # made again when they are asked for

    def finish(self, run: Run, state: str) -> None:
        """A run has ended.  If it made no mask, the masks of the earlier run stay."""
        run.state, self.current = state, None
        if run.done:
            if run.continues and run.job:
                ways = run.job.plan.directions
                kept = [one for one in self.rest if one[1] not in ways or one[0] not in run.fresh]
                self.rest = [*run.rest(), *kept]
            else:
                self.rest, self.corrected = run.rest(), [n for n in self.corrected if n not in run.fresh]
            self.approved = {one for one in self.approved if one[0] not in run.fresh}
            self.flagged = {one for one in self.flagged if one[0] not in run.fresh}
            self.changed -= run.fresh  # corrections on frames that this run did not compute stay
            self.pinned = tuple(sorted(set(self.marks) - self.changed))
            run.report = {**(run.report or {}), **run.summary(self.clip, self.objects, self.marks)}

    def delete_object(self, number: int) -> None:
        """Remove an object, its marks and its masks; with the last one goes the run."""
        gone = self.objects[number].id
        with self.one_step():
            self._delete(gone)

    def _delete(self, gone: int) -> None:
        if self.run is not None and len(self.objects) > 1:
            self.replace_run(self.run.without(gone))
        for index, marks in list(self.marks.items()):
            left = marks.without(gone)
            if left is None:
                self.keep(index, None)
            else:
                self.marks[index] = left  # this is no correction: the other objects stay where they were
        self.absent.pop(gone, None)
        self.approved = {one for one in self.approved if one[1] != gone}
        self.flagged = {one for one in self.flagged if one[1] != gone}
        if len(self.objects) == 1:
            self.run, self.pinned, self.rest = None, (), []
        self.objects.remove(gone)

    # marks ------------------------------------------------------------------------------------------------

    def labels(self, index: int) -> np.ndarray | None:
        """The labels shown on a frame, uint8 (H, W): those of the marks or of a later run, or None."""
        mask = self.marked(index)
        return decode_mask(mask) if mask else self.result(index)

    def to_change(self, index: int) -> np.ndarray:
        """The labels shown on a frame, or labels without any object."""
        found = self.labels(index)
        return np.zeros(self.clip.size, np.uint8) if found is None else found

    def marked(self, index: int) -> bytes | None:
        """The mask of a frame's marks, PNG, if the frame shows it: a later run shows all objects there, not
        only the marked ones.
        """
        marks = self.marks.get(index)
        made = self.run is not None and index in self.run.records and index not in self.changed
        return None if marks is None or made else marks.mask

    def result(self, index: int) -> np.ndarray | None:
        """The labels that the run gave a frame, uint8 (H, W), or None."""
        return self.run.labels(index) if self.run else None

    def seen(self, index: int) -> tuple:
        """What a new mask of a frame is computed from; if this differs afterwards, the mask is outdated."""
        return self.marks.get(index), self.run

    @contextmanager
    def one_step(self, index: int | None = None) -> Iterator[None]:
        """Changes made inside are one step of undo; after an error there is no step.  Nested steps are one.

        index: the frame that undo shows.
        """
        if self.history.inside:
            yield
            return
        before = Moment.of(self, self.frame if index is None else index)
        self.history.inside = True
        try:
            yield
        finally:
            self.history.inside = False
        self.history.add(before)

    def undo(self) -> bool:
        """Take the last step back and show its frame; False when there is nothing to undo."""
        return self._travel(self.history.past, self.history.undone)

    def redo(self) -> bool:
        """Do again what was undone last; False when there is nothing."""
        return self._travel(self.history.undone, self.history.past)

    def _travel(self, source: list[Moment], target: list[Moment]) -> bool:
        if not source:
            return False
        moment, shown = source.pop(), self.run
        target.append(Moment.of(self, moment.frame))
        moment.restore(self)
        if self.run is not shown:
            run, self.run = self.run, shown
            self.replace_run(run)
        self.jump += 1  # before: a look that was asked for earlier must not lead away again
        self.go(moment.frame)
        return True

    def keep(self, index: int, marks: Marks | None) -> None:
        """Take these marks of a frame, or none; they correct it if it was tracked."""
        if marks is None:
            self.marks.pop(index, None)
            self.changed.discard(index)
            self.corrected = [n for n in self.corrected if n != index]
            self.pinned = tuple(n for n in self.pinned if n != index)
        else:
            self.marks[index] = marks
            self.changed.add(index)
            if self.tracked:
                self.corrected = [*(n for n in self.corrected if n != index), index]

    # what a run is made from ------------------------------------------------------------------------------

    def spoken_of(self, number: int) -> bool:
        """Whether an object has a click or a mask on any frame, from a visitor or from the run."""
        found = list(dict(self.marks).values())
        if any(number == dot[3] for marks in found for dot in marks.dots):
            return True
        if any(number in marks.before or number in marks.objects for marks in found):
            return True
        return self.run is not None and any(number in one.areas for one in list(self.run.records.values()))

    def given(self) -> dict[int, bytes]:
        """The masks of all marked frames, PNG, by frame."""
        return {index: marks.mask for index, marks in dict(self.marks).items() if marks.mask}

    def fixes(self) -> list[int]:
        """Frames that were corrected since the run."""
        return sorted(self.changed) if self.tracked else []
