"""A job of the page, frame by frame: masks to the clip's folder, numbers and previews to the page.

The loop is the core's (`stm_core.runs.clip.run`); its frames come from the guarded decoder.
"""

import io
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from demo.guard.process import Guard
from demo.work.job import Again, Job, Step
from demo.work.run import SOFT
from stm_core.engine.threads import WriteBehind
from stm_core.errors import DiskError
from stm_core.masks.mask_files import encode_mask
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import on_screen
from stm_core.media.files import write_whole
from stm_core.networks.weights import Model
from stm_core.runs import clip as core
from stm_core.runs.plan import Plan
from stm_core.runs.record import record_of
from stm_core.runs.report import Report

PREVIEW_EVERY = 0.15  # seconds between pictures while it runs: six a second
PREVIEW_QUALITY = 82


class Tracker:
    """Tracks one job after another with a model; keeps nothing of them."""

    def __init__(self, model: Model, guard: Guard):
        self.model, self.guard = model, guard

    def run(self, job: Job) -> Generator[Step | Again | dict | None, None, None]:
        """Every frame of a job as a Step, its mask already on disk; last comes the report, a dict.

        None comes between frames; the run can be ended there too.
        When the GPU runs out of memory, an Again comes, and then every frame of a smaller job.
        Raises LimitError if even that does not fit, VideoError.
        """
        notes: list[str] = []
        plan, shown = job.plan, 0.0
        report, masks = Report(self.model, plan.memory, notes), _Masks(job)
        soft = not self.model.network.shared_keys  # then the keys depend on what was probable
        source = _Guarded(self.guard, job)
        try:
            with closing(core.run(self.model, plan, source, notes)) as steps:
                for step in steps:
                    if step is None:
                        yield None
                        continue
                    if isinstance(step, core.Again):
                        plan = step.plan
                        masks.close()
                        report, masks = Report(self.model, plan.memory, notes), _Masks(job)
                        yield Again(job.with_plan(plan), step.why)
                        continue
                    probs = step.result.masks if soft and not step.result.prompted else None
                    masks.write(step.result.index, step.result.labels, probs)
                    report.add(step.result)
                    due = time.perf_counter() - shown >= PREVIEW_EVERY
                    preview = picture(step.image, step.result.labels, job) if due else None
                    shown = time.perf_counter() if due else shown
                    yield _step(step, plan, preview)
            masks.close()
        finally:
            with suppress(DiskError):  # raised above already, or the run ended for another reason
                masks.close()
        yield report.as_dict(masks.written, plan.size)


class _Guarded:
    """A visitor's clip as the frames of a run: each pass is read in a process of its own."""

    def __init__(self, guard: Guard, job: Job):
        self._guard, self._job = guard, job
        self.warnings: list[str] = []

    def frames(self, start: int, stop: int, *, reverse: bool = False) -> Generator[np.ndarray, None, None]:
        return self._guard.frames(Path(self._job.clip), start, stop, reverse=reverse)

    def seconds(self, index: int) -> float:
        return 0.0  # no file of the run has times: films are made from the clip afterwards


def _step(frame: core.ClipFrame, plan: Plan, preview: bytes | None) -> Step:
    memory = frame.result.memory
    # forward, what differs was wrong before; backward, it is what two ways of tracking disagree on
    backward = frame.result.index < plan.first
    return Step(
        index=frame.result.index,
        record=record_of(frame.result, frame.agreement if backward else None),
        bank=memory.nbytes,
        read_peak=memory.read_peak_bytes,
        unbounded=memory.unbounded_bytes,
        held=tuple(memory.frames),
        pinned=tuple(memory.pinned),
        process=process_bytes(),
        read=memory.read,
        preview=preview,
    )


class _Masks:
    """Writes a run's masks in a thread, in place of those of an earlier run; the others stay."""

    def __init__(self, job: Job):
        self.folder, self.written = Path(job.folder) / "masks", 0
        self._submit = WriteBehind(self._write)

    def write(self, index: int, labels: np.ndarray, probs: np.ndarray | None) -> None:
        self._submit(index, labels, probs)

    def _write(self, index: int, labels: np.ndarray, probs: np.ndarray | None) -> None:
        if probs is not None:  # first: who sees the mask may look
            buffer = io.BytesIO()
            np.savez_compressed(buffer, masks=probs.astype(np.float16))
            write_whole(self.folder.parent / SOFT / f"{index:05d}.npz", buffer.getvalue())
        write_whole(self.folder / f"{index:05d}.png", encode_mask(labels))
        self.written += 1

    def close(self) -> None:
        self._submit.close()


def picture(image: np.ndarray, labels: np.ndarray, job: Job) -> bytes:
    """The live preview: a frame with its mask, at most `preview_side` wide, as JPEG."""
    small = Image.fromarray(image)
    small.thumbnail((job.preview_side, job.preview_side), Image.Resampling.BILINEAR, reducing_gap=1.5)
    shape = Image.fromarray(labels).resize(small.size, Image.Resampling.NEAREST)
    colours = on_screen(job.colours)
    mixed = overlay(np.asarray(small), np.asarray(shape), alpha=job.opacity, colours=colours)
    buffer = io.BytesIO()
    Image.fromarray(mixed).save(buffer, format="JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


def process_bytes() -> int:
    """Bytes of memory in use now: of tensors on the GPU if there is one, else resident in this process."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss
