"""One visitor's state and its transitions: clip, objects, prompts per frame, results.  Knows no Gradio and
holds no tensors.

Pictures and result masks lie in the visitor's folder; a prompt's mask is kept as PNG bytes (a few kB), so
that a session can be copied and pickled at any time.  Every mistake of the visitor is a StmError whose
text is shown as it is.
"""

import os
import secrets
import shutil
import threading
import time
import weakref
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from demo.work.subjects import Subjects
from demo.work.work import Clip, Marks, Record, unpack, without
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError, MaskError, PromptError
from stm_core.masks import files as masks
from stm_core.runs.output import write_whole

UNDO_DEPTH = 100
# of the sessions that are being changed, by folder: no part of a session, which can be copied and pickled
_LOCKS: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_MAKING = threading.Lock()


@dataclass
class Session:
    """Everything about one visitor (one browser tab)."""

    folder: str
    clip: Clip | None = None
    frame: int = 0
    subjects: Subjects = field(default_factory=Subjects)
    marks: dict[int, Marks] = field(default_factory=dict)
    history: list[tuple[int, Marks | None]] = field(default_factory=list)
    records: dict[int, Record] = field(default_factory=dict)
    curve: list[tuple] = field(default_factory=list)  # render.Point per shown update of the last run
    report: dict | None = None
    pinned: tuple[int, ...] = ()
    dirty: set[int] = field(default_factory=set)  # frames marked or changed since the last run
    revision: int = 0  # grows with every run; makes the browser ask for new pictures
    run: int = 0  # grows whenever a run starts or must end; a run that sees another number is over
    running: bool = False
    waiting: bool = False  # Track was pressed on this clip and its turn has not come
    filmed: int = -1  # the revision whose film the player shows
    stop: bool = False
    answer: int = 0  # grows with every answer to the stage; jump: when the stage must show `frame`
    jump: int = 0
    sharp: dict[int, None] = field(
        default_factory=dict
    )  # frames whose lossless picture is on disk, oldest first
    proxies: int = 0  # scrubbing pictures on disk, from the part's start
    clips_opened: int = 0
    touched: float = 0.0
    unread: dict | None = None  # work that came with the clip and was not taken up yet
    caller: str = ""  # the address that the visitor came from

    @classmethod
    def new(cls, root: Path) -> "Session":
        """A visitor arrives: an empty session with a folder that nobody can guess."""
        folder = Path(root) / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return cls(folder=str(folder), touched=time.time())

    def alone(self):
        """A lock to change this visitor's work under, one for all copies; it may be taken again by its
        holder.  Never hold it while a file of the visitor's is read: that may stall.
        """
        with _MAKING:
            lock = _LOCKS.get(self.folder)
            if lock is None:
                lock = _LOCKS[self.folder] = threading.RLock()
        return lock

    def seen(self, index: int) -> tuple:
        """What a new mask of a frame is computed from; if it differs afterwards, the mask is outdated."""
        return self.marks.get(index), self.revision

    # clip -------------------------------------------------------------------------------------------------

    def new_folder(self) -> Path:
        """A fresh folder for a clip that is about to be read; the open clip stays as it is until
        `take_clip`.
        """
        self.clips_opened += 1
        self.touch()
        folder = Path(self.folder) / f"clip{self.clips_opened}"
        for name in ("sharp", "proxy", "masks", "files"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return folder

    def take_clip(self, clip: Clip) -> None:
        """Open a clip that was read: work on the one before ends, its marks, results and files go."""
        with self.alone():
            old = self.clip
            fresh = Session(
                folder=self.folder,
                caller=self.caller,
                clips_opened=self.clips_opened,
                revision=self.revision + 1,
                answer=self.answer + 1,
                jump=self.jump + 1,
                run=self.run + 1,
            )
            self.__dict__.update(fresh.__dict__)
            self.clip, self.frame, self.sharp = clip, clip.start, {clip.start: None}
        self.touch()
        if old is not None:
            shutil.rmtree(old.folder, ignore_errors=True)

    def close_clip(self) -> None:
        """Forget a clip that turned out to be unreadable."""
        shutil.rmtree(self.need_clip().folder, ignore_errors=True)
        self.clip, self.sharp = None, {}

    def touch(self) -> None:
        """Note that the visitor is here: the folder's own time is what `sweep` goes by."""
        self.touched = time.time()
        with suppress(OSError):
            os.utime(self.folder)

    def need_clip(self) -> Clip:
        """The open clip; PromptError when there is none."""
        if self.clip is None:
            raise PromptError("there is no clip yet; upload one or pick an example first")
        return self.clip

    def shows(self, folder: str) -> bool:
        """Whether the clip in this folder is the open one."""
        return self.clip is not None and self.clip.folder == folder

    def go(self, index: int) -> int:
        """Show a frame; an index outside the clip goes to the nearest one."""
        clip = self.need_clip()
        self.frame = min(max(int(index), clip.start), clip.stop - 1)
        return self.frame

    def delete_subject(self, number: int) -> None:
        """Remove an object, its marks and its results; the last one is emptied instead of removed, and
        with it goes everything that the last run left.
        """
        gone = self.subjects[number].id
        for index in [i for i, record in self.records.items() if record.areas.get(gone)]:
            labels = self.result(index)
            if labels is not None:
                write_whole(self.mask_path(index), masks.encode_mask(np.where(labels == gone, 0, labels)))
        for index, marks in list(self.marks.items()):
            left = without(marks, gone)
            if left is None:
                self._keep(index, None)
            else:
                self.marks[index] = left  # which is no correction: other objects are where they were
        self.history = [(index, marks and without(marks, gone)) for index, marks in self.history]
        self.records = {index: record.without(gone) for index, record in self.records.items()}
        if len(self.subjects) == 1:
            self.records, self.report, self.pinned, self.curve = {}, None, (), []
        self.subjects.remove(gone)
        self.revision += 1  # last: what is made of masks that are half rewritten is of the state before

    # marks ------------------------------------------------------------------------------------------------

    def labels(self, index: int) -> np.ndarray | None:
        """The labels shown on a frame, uint8 (H, W): the visitor's marks, else the run's result, else
        None.
        """
        marks = self.marks.get(index)
        if marks is not None and marks.mask is not None:
            return unpack(marks.mask)
        return self.result(index)

    def result(self, index: int) -> np.ndarray | None:
        """The labels that the last run gave a frame, uint8 (H, W), or None."""
        path = self.mask_path(index)
        return unpack(path.read_bytes()) if index in self.records and path.exists() else None

    def keep_what_is_written(self) -> None:
        """After a run that failed: forget the frames whose mask never reached the disk."""
        self.records = {i: record for i, record in self.records.items() if self.mask_path(i).exists()}

    def mask_path(self, index: int) -> Path:
        """Where the run's mask of a frame lies."""
        return Path(self.need_clip().folder) / "masks" / f"{index:05d}.png"

    def plan_click(self, index: int, x: float, y: float, label: int, number: int, limit: int) -> Marks:
        """A frame's marks with one more click of an object, mask still to be computed."""
        height, width = self.need_clip().size
        x, y = int(x), int(y)
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(
                f"the click at {x},{y} is outside the picture of {width}x{height}; click inside it"
            )
        marks = self._marks_to_change(index, limit)
        click = (x, y, int(bool(label)), self.subjects[number].id)
        return replace(marks, clicks=(*marks.clicks, click), dots=(*marks.dots, click))

    def put(self, index: int, marks: Marks, labels: np.ndarray) -> None:
        """Take a frame's marks whose mask was computed; undo brings back what was there."""
        self._remember(index)
        self._keep(index, replace(marks, mask=masks.encode_mask(labels)))

    def draw(self, index: int, labels: np.ndarray, limit: int) -> None:
        """Replace a frame's mask by one that was drawn or imported; later clicks refine it."""
        height, width = self.need_clip().size
        if labels.shape != (height, width):
            raise MaskError(
                f"the mask is {labels.shape[1]}x{labels.shape[0]}, the clip {width}x{height}; "
                "export it at the clip's size"
            )
        marks = self._marks_to_change(index, limit)
        packed = masks.encode_mask(labels)
        self._remember(index)
        self._keep(index, replace(marks, clicks=(), base=packed, mask=packed))

    def import_labels(self, index: int, labels: np.ndarray, limits) -> None:
        """Take an imported mask for a frame; its object ids that are new here become objects.

        LimitError, MaskError.
        """
        found = masks.object_ids(labels)
        if not found:
            raise MaskError(
                "this mask is empty, it has only background; paint the object in white or a palette colour"
            )
        subjects = deepcopy(self.subjects)
        subjects.adopt(found, limits.max_objects)
        self.draw(index, labels, limits.max_edits)
        self.subjects = subjects

    def unpacked(self, packed: bytes | None) -> np.ndarray | None:
        """Labels of a mask kept as PNG, or None."""
        return None if packed is None else unpack(packed)

    def undo(self) -> bool:
        """Take the last mark back, wherever it was, and show its frame; False when there is nothing to
        undo.
        """
        if not self.history:
            return False
        index, marks = self.history.pop()
        self._keep(index, marks)
        self.go(index)
        return True

    def clear(self) -> None:
        """Remove this frame's marks of all objects."""
        if self.frame in self.marks:
            self._remember(self.frame)
            self._keep(self.frame, None)

    def _marks_to_change(self, index: int, limit: int) -> Marks:
        marks = self.marks.get(index)
        if marks is None:
            tracked = self.result(index)
            if tracked is None:
                return Marks()
            return Marks(base=masks.encode_mask(tracked), tracked=masks.object_ids(tracked))
        if len(marks.dots) >= limit:
            raise LimitError(
                f"this frame has {len(marks.dots)} clicks, the limit; clear it or draw the mask instead"
            )
        return marks

    def _remember(self, index: int) -> None:
        self.history = [*self.history, (index, self.marks.get(index))][-UNDO_DEPTH:]

    def _keep(self, index: int, marks: Marks | None) -> None:
        if marks is None:
            self.marks.pop(index, None)
            self.dirty.discard(index)
            self.pinned = tuple(n for n in self.pinned if n != index)
        else:
            self.marks[index] = marks
            self.dirty.add(index)

    # prompts ----------------------------------------------------------------------------------------------

    def prompts(self) -> list[Prompt]:
        """The marks as the engine takes them, by frame: clicks where there are only clicks, else masks.

        PromptError when nothing is marked, or when an object has no pixel on any marked frame.
        """
        found, present = [], set()
        for index, marks in sorted(dict(self.marks).items(), key=lambda one: one[0]):
            labels = unpack(marks.mask)
            inside = set(masks.object_ids(labels))
            present |= inside
            if marks.base is None:
                found.append(Prompt.from_clicks(marks.clicks, frame=index))
                continue
            erased = {*masks.object_ids(unpack(marks.base)), *marks.tracked}  # not in this frame
            spoken = inside | erased
            if spoken:
                found.append(Prompt.from_mask(labels, frame=index, objects=spoken))
        if not found:
            raise PromptError("nothing is marked yet; click the object (or draw on it) and press Track again")
        for subject in self.subjects:
            if subject.id not in present and len(self.subjects) > 1:
                raise PromptError(f"“{subject.name}” has no pixels on any frame; mark it, or delete it")
        if not present:
            raise PromptError("the marked area is empty; add a click on the object, or draw it")
        return found

    def given(self) -> dict[int, bytes]:
        """The masks of all marked frames, PNG, by frame."""
        return {index: marks.mask for index, marks in dict(self.marks).items() if marks.mask}

    def fixes(self) -> list[int]:
        """Frames that were corrected since the last run."""
        return sorted(self.dirty) if self.records else []
