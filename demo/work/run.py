"""One run over a clip: what goes into it, what comes out of it frame by frame, and what stays of it."""

import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from demo.draw.charts import MOST_POINTS, Point, thin
from demo.draw.html import ranges
from demo.work.glance import Glance
from demo.work.job import Job, Step
from demo.work.objects import Object
from demo.work.opened import Clip
from stm_core.engine.forecast import Prediction
from stm_core.engine.prompts import Absent
from stm_core.masks.mask_files import decode_mask, encode_mask
from stm_core.media.files import write_whole
from stm_core.runs.record import Record
from stm_core.runs.review import suggestions

SOFT = "soft"  # folder of probabilities, beside that of the masks
# of the clip's report, for the downloaded one
FACTS = ("container", "codec", "width", "height", "frames", "fps", "seconds", "rotation", "audio")


@dataclass(eq=False)
class Run:
    """One run, from the moment Track is pressed.  Each run has a new folder, so that the browser never shows
    an old picture from its cache.

    state: "waiting" for its turn, "running", and then "done", "stopped" or "failed".
    stop: somebody asked it to end.
    trial: it is one of a comparison, and not shown on the stage.
    asked: what the page had set when the button was pressed, the last time while it waits.
    job, forecast: what it computes, and what that takes at most; None before it begins.
    records: what was found on each frame; a run that continues another begins with the records of that one.
    glances: what memory held at each frame.
    fresh: the frames that this run gave a mask itself.
    points: memory after its frames, for the chart.
    report: what the engine and the page say about it once it has ended.
    filmed: the player shows its film.
    continues: it goes on from another run's masks.
    measured: the run that this is a copy of, without one object.
    """

    folder: str
    state: str = "waiting"
    stop: bool = False
    trial: bool = False
    asked: tuple = ()
    job: Job | None = None
    forecast: Prediction | None = None
    records: dict[int, Record] = field(default_factory=dict)
    glances: dict[int, Glance] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    points: list[Point] = field(default_factory=list)
    report: dict | None = None
    filmed: bool = False
    last: Step | None = None
    began: float = 0.0  # time.perf_counter(), as the next three
    first_step: float = 0.0
    last_step: float = 0.0
    first_preview: float | None = None
    continues: bool = False
    measured: "Run | None" = None

    @classmethod
    def new(cls, clip_folder: str | Path) -> "Run":
        """A run of the clip in this folder that waits for its turn."""
        return cls(str(Path(clip_folder) / f"run-{secrets.token_hex(6)}"))

    def begin(self, job: Job, forecast: Prediction, before: "Run | None" = None) -> None:
        """It is its turn.  before: the run that it continues."""
        if before is None:
            self._make_folder()
        else:
            self.copy(before)
            self.continues = True
        self.state = "running"
        self.again(job, forecast)

    def again(self, job: Job, forecast: Prediction) -> None:
        """Start counting again: the engine begins with a smaller job."""
        self.job, self.forecast, self.began = job, forecast, time.perf_counter()
        self.fresh, self.points, self.last = set(), [], None
        self.first_step, self.first_preview = 0.0, None

    def copy(self, other: "Run") -> None:
        """Begin with the masks of another run, as hard links: files are replaced, never changed in place."""
        self._make_folder()
        for index in other.records:
            for kind in (Run.mask_path, Run.soft_path):
                source, target = kind(other, index), kind(self, index)
                if not source.exists():
                    continue
                try:
                    os.link(source, target)
                except OSError:  # a disk without hard links
                    shutil.copyfile(source, target)
        self.records, self.glances = dict(other.records), dict(other.glances)

    def _make_folder(self) -> None:
        (Path(self.folder) / "masks").mkdir(parents=True)
        (Path(self.folder) / SOFT).mkdir()

    def end(self) -> None:
        """Ask the run to end: at once while it waits, else after the frame that it is at."""
        self.stop = True
        if self.state == "waiting":
            self.state = "stopped"

    @property
    def under_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    # frames -----------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """How many frames it gave a mask."""
        return len(self.fresh)

    @property
    def pace(self) -> float:
        """Seconds per frame as a visitor sees it: with decoding and drawing, without the start of the run."""
        return (self.last_step - self.first_step) / max(self.done - 1, 1)

    def add(self, step: Step) -> None:
        """Take one frame."""
        if not self.fresh and not self.continues:
            self.records, self.glances = {}, {}
        self.fresh.add(step.index)
        self.records[step.index] = step.record
        assert self.job is not None, "a run that began has a job"
        plan = self.job.plan
        self.glances[step.index] = Glance(
            plan.first, step.read, plan.memory, plan.size, step.bank, step.read_peak
        )
        self.last, self.last_step = step, time.perf_counter()
        self.first_step = self.first_step or self.last_step
        if step.preview is not None and self.first_preview is None:
            self.first_preview = self.last_step - self.began
        self.points.append(Point(self.done, step.bank, step.read_peak, step.unbounded, step.process))
        if len(self.points) > 4 * MOST_POINTS:
            self.points = thin(self.points)

    def rest(self) -> list[tuple[int, int]]:
        """Where a stopped run can go on: (last frame with a mask, direction of the frames without one)."""
        if self.job is None or self.untouched:
            return []
        found, plan = [], self.job.plan
        for direction in plan.directions:
            way = plan.way(direction)
            done = [index for index in way if index in self.fresh]
            if done and len(done) < len(way):
                found.append((max(done) if direction > 0 else min(done), direction))
        return found

    @property
    def untouched(self) -> int:
        """How many frames kept their masks because the run ended once masks came out as before."""
        if self.state != "done" or self.job is None or self.job.plan.earlier is None:
            return 0
        return self.job.plan.frames - self.done

    def mask_path(self, index: int) -> Path:
        """Where its mask of a frame lies."""
        return Path(self.folder) / "masks" / f"{index:05d}.png"

    def soft_path(self, index: int) -> Path:
        """Where its probabilities of a frame lie, if its network remembers these rather than the mask."""
        return Path(self.folder) / SOFT / f"{index:05d}.npz"

    def remembered(self, index: int) -> np.ndarray | None:
        """What it kept in memory of a frame: labels uint8 (H, W), or probabilities float32 (N, H', W')."""
        path = self.soft_path(index)
        if not path.exists():
            return self.labels(index)
        with np.load(path) as kept:
            return kept["masks"].astype(np.float32)

    def labels(self, index: int) -> np.ndarray | None:
        """Its labels of a frame, uint8 (H, W), or None."""
        path = self.mask_path(index)
        return decode_mask(path.read_bytes()) if index in self.records and path.exists() else None

    def keep_what_is_written(self) -> None:
        """After a failure: forget the frames whose mask never reached the disk."""
        self.records = {i: record for i, record in self.records.items() if self.mask_path(i).exists()}

    def without(self, gone: int, frames: Collection[int] | None = None) -> "Run":
        """A copy of an ended run without one object, or without its pixels on `frames` only."""
        found = Run.new(Path(self.folder).parent)
        found.copy(self)
        for index, record in self.records.items():
            if frames is not None and index not in frames:
                continue
            labels = found.labels(index) if record.areas.get(gone) else None
            if labels is not None:
                rest = np.where(labels == gone, 0, labels).astype(np.uint8)
                write_whole(found.mask_path(index), encode_mask(rest))
            left = record.without(gone)
            if frames is not None:  # it is known, but not there
                left = replace(left, areas={**left.areas, gone: 0}, confidence={**left.confidence, gone: 0.0})
            found.records[index] = left
        found.state, found.report, found.measured = self.state, self.report, self.measured or self
        return found

    # its end ----------------------------------------------------------------------------------------------

    def summary(self, clip: Clip, objects: Iterable[Object], marked: Iterable[int]) -> dict:
        """What the page adds to the engine's report: the clip, the objects, and the marked frames."""
        assert self.job is not None, "a run that began has a job"
        plan = self.job.plan
        return {
            "clip": {
                "name": clip.name,
                "start": clip.start,
                "stop": clip.stop,
                **{name: clip.info.get(name) for name in FACTS},
            },
            "run": {
                "first": plan.first,
                "directions": list(plan.directions),
                "stopped": self.state != "done",
                "frames_done": self.done,
                "frames_untouched": self.untouched,
                "size": plan.size,
                "first_preview": self.first_preview,
            },
            "frames_with_masks": ranges(self.records),
            "marked_frames": sorted(marked),
            "doubtful_frames": self._doubtful(list(objects), plan.absent),
            "memory_log": [asdict(point) for point in thin(self.points)],
        }

    def _doubtful(self, objects: list[Object], absent: Absent) -> dict[str, list[int]]:
        """The frames to look at, by the name of the object."""
        found = suggestions(self.records, [one.id for one in objects], absent=absent)
        return {one.name: sorted(two.frame for two in found if two.obj == one.id) for one in objects}
