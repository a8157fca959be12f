"""The numbers of a run as it goes, and what the page and the report show of them."""

import time
from dataclasses import asdict

from demo.draw import charts, readout
from demo.panels import stage_state as render
from demo.panels.views import View
from demo.work.run import Job, Step
from demo.work.visitor import Session
from demo.work.work import Record

READOUT_EVERY = 0.4  # seconds between drawings of the memory: the chart costs a browser more than the picture
# of the clip's report, for the downloaded one
FACTS = ("container", "codec", "width", "height", "frames", "fps", "seconds", "rotation", "audio")


class RunLog:
    """The numbers of a run as it goes, and the views made of them."""

    def __init__(self, session: Session, job: Job, forecast, device: str):
        self.session, self.job, self.forecast, self.device = session, job, forecast, device
        self.points: list[charts.Point] = []
        self.frames: set[int] = set()
        self.began, self.drawn = time.perf_counter(), 0.0
        self.first_step = self.last_step = 0.0  # when
        self.first_preview: float | None = None
        self.last: Step | None = None

    @property
    def done(self) -> int:
        """How many frames have their mask."""
        return len(self.frames)

    @property
    def pace(self) -> float:
        """Seconds a frame, as a visitor waits for it: decoding and drawing included, not what came before."""
        return (self.last_step - self.first_step) / max(self.done - 1, 1)

    def add(self, step: Step) -> None:
        """Count one frame."""
        self.frames.add(step.index)
        self.session.records[step.index] = Record(step.areas, step.confidence, step.prompted)
        self.last, self.last_step = step, time.perf_counter()
        self.first_step = self.first_step or self.last_step
        self.points.append(charts.Point(self.done, step.bank, step.read_peak, step.unbounded, step.process))
        if len(self.points) > 4 * charts.MOST_POINTS:
            self.points = charts.thin(self.points)

    def view(self, step: Step | None = None) -> View:
        """Progress and memory readout; of a step that has a picture, the live preview, and the readout where
        it is due.
        """
        view = {"progress": readout.progress(self.done, self.job.plan.frames, self.began)}
        now = time.perf_counter()
        if step is not None:
            self.first_preview = self.first_preview or now - self.began
            view["stage"] = render.stage(self.session, live=step.preview, at=step.index)
        if step is None or now - self.drawn >= READOUT_EVERY:
            self.drawn = now
            view["readout"] = self._readout()
        return view

    def _readout(self) -> str:
        last, memory = self.last, self.job.plan.memory
        return readout.memory(
            self.points,
            self.job.plan.frames,
            last.held if last else (),
            last.pinned if last else (),
            self.forecast.frame_bytes,
            memory.bound_bytes,
            self.forecast.unbounded_bytes,
            self.device,
        )

    def verdict(self, stopped: bool) -> str:
        """The last line of the progress."""
        spent = time.perf_counter() - self.began
        what = "stopped; every mask so far is kept" if stopped else "done"
        return readout.progress(
            self.done,
            self.job.plan.frames,
            self.began,
            finished=(
                f"{what}: {self.done} of {self.job.plan.frames} frames in {readout.clock(spent)}, "
                f"{self.done / max(spent, 1e-6):.1f} frames/s"
            ),
        )

    def summary(self, stopped: bool) -> dict:
        """What the page adds to the engine's report."""
        clip = self.session.clip
        return {
            "clip": {
                "name": clip.name,
                "start": clip.start,
                "stop": clip.stop,
                **{name: clip.info.get(name) for name in FACTS},
            },
            "run": {
                "first": self.job.plan.first,
                "directions": list(self.job.plan.directions),
                "stopped": stopped,
                "frames_done": self.done,
                "size": self.job.plan.size,
                "first_preview": self.first_preview,
            },
            "frames_with_masks": render.ranges(self.session.records),
            "marked_frames": sorted(self.session.marks),
            "doubtful_frames": {
                s.name: charts.doubts(self.session.records, s.id) for s in self.session.subjects
            },
            "memory_log": [asdict(point) for point in charts.thin(self.points)],
        }
