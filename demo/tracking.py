"""A job of the page, frame by frame: masks to the clip's folder, numbers and previews to the page."""

import io
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from demo.clip import unpack
from demo.guard import Guard
from demo.job import Again, Job, Step
from stm_core.engine.prompts import Reference
from stm_core.engine.propagate import propagate
from stm_core.engine.threads import WriteBehind, read_ahead
from stm_core.errors import LimitError, VideoError
from stm_core.masks import files as masks
from stm_core.runs.folder import RETRIES, SMALLEST, done_again, smaller
from stm_core.runs.output import write_whole
from stm_core.runs.report import Report

PREVIEW_EVERY = 0.15  # seconds between pictures while it runs: six a second
PREVIEW_QUALITY = 82


class Tracker:
    """Tracks one job after another with a model; holds nothing of them."""

    def __init__(self, model, guard: Guard):
        self.model, self.guard = model, guard

    def run(self, job: Job) -> Iterator[Step | Again | dict]:
        """Every frame of a job as a Step, its mask already on disk; the last thing that comes is the
        report (dict).

        When the GPU runs out of memory, an Again comes, and then every frame of a smaller job; LimitError
        if even that does not fit.
        """
        notes: list[str] = []
        for attempt in range(RETRIES + 1):
            try:
                yield from self._attempt(job, notes)
                return
            except torch.OutOfMemoryError as error:
                size, memory = smaller(min(job.size or job.side, job.side), job.memory)
                if attempt == RETRIES or size < SMALLEST:
                    raise LimitError(
                        "the GPU has not enough memory free even for a small picture; choose a smaller "
                        "processing "
                        "size, or try again when fewer people are here"
                    ) from error
            torch.cuda.empty_cache()
            notes = [done_again(size, memory)]
            job = replace(job, size=size, memory=memory)
            yield Again(job, notes[0])

    def _attempt(self, job: Job, notes: list[str]) -> Iterator[Step | dict]:
        report = Report(self.model, job.memory, notes)
        writer = _Masks(job)
        shown, done, known = 0.0, set(), dict(job.given)
        try:
            for direction in job.directions:
                last = job.first - direction
                with closing(self._pass(job, direction, known)) as steps:
                    for image, result in steps:
                        last = result.index
                        if result.index in done:
                            continue
                        done.add(result.index)
                        writer.write(result.index, result.labels)
                        report.add(result)
                        if result.prompted:
                            known[result.index] = masks.encode_mask(result.labels)
                        due = time.perf_counter() - shown >= PREVIEW_EVERY
                        preview = picture(image, result.labels, job) if due else None
                        shown = time.perf_counter() if due else shown
                        yield self._step(result, preview)
                notes += _missed(job, direction, last)
        finally:
            writer.close()
        yield report.as_dict(writer.written, job.size)

    def _pass(self, job: Job, direction: int, known: dict[int, bytes]):
        """(image, FrameResult) along one direction from the job's first frame; known masks off the way are
        pinned.
        """
        way = job.way(direction)
        prompts = [p for p in job.prompts if p.frame in way and (direction > 0 or p.frame <= job.first)]
        on_way = {prompt.frame for prompt in prompts}
        begun = {number for prompt in prompts for number in prompt.objects}
        references = [
            reference
            for n in sorted(set(known) - on_way)
            if (reference := self._reference(job, n, known[n], None if direction > 0 else begun)) is not None
        ]
        low, high = min(way), max(way) + 1
        frames = self.guard.frames(Path(job.clip), low, high, reverse=direction < 0)
        under_way: deque = deque()

        def keep():
            with closing(read_ahead(frames)) as ahead:
                for offset, image in enumerate(ahead):
                    under_way.append((job.first + direction * offset, image))
                    yield image

        results = propagate(
            self.model,
            keep(),
            prompts,
            memory=job.memory,
            size=job.size,
            start=job.first,
            step=direction,
            references=references,
        )
        with closing(results):
            for result in results:
                index, image = under_way.popleft()
                while index != result.index:
                    index, image = under_way.popleft()
                yield image, result

    def _reference(self, job: Job, index: int, mask: bytes, only: set[int] | None) -> Reference | None:
        """Another marked frame for the memory; only: objects that may be in it (those met later stay out)."""
        labels = unpack(mask)
        if only is not None:
            labels = np.where(np.isin(labels, list(only)), labels, 0).astype(np.uint8)
        if not labels.any():
            return None
        for image in self.guard.frames(Path(job.clip), index, index + 1):
            return Reference(index, image, labels)
        return None

    def _step(self, result, preview: bytes | None) -> Step:
        counts = np.bincount(result.labels.ravel(), minlength=256)
        memory = result.memory
        return Step(
            index=result.index,
            areas={int(i): int(counts[i]) for i in result.objects},
            confidence={int(i): float(c) for i, c in result.confidence.items()},
            prompted=result.prompted,
            bank=memory.nbytes,
            read_peak=memory.read_peak_bytes,
            unbounded=memory.unbounded_bytes,
            held=tuple(memory.frames),
            pinned=tuple(memory.pinned),
            process=process_bytes(),
            preview=preview,
        )


def _missed(job: Job, direction: int, last: int) -> list[str]:
    """What a way that ended at frame `last` did not reach: a file may be shorter than it says."""
    if direction < 0:
        told = f"the frames before {last} could not be read again; this run gave them no mask"
        return [told] if last > job.start else []
    unused = [prompt.frame for prompt in job.prompts if last < prompt.frame < job.stop]
    told = "the prompt on frame {} was not used: the clip ends after frame {}"
    return [told.format(frame, last) for frame in unused]


class _Masks:
    """Writes a run's masks over those of an earlier run, frame by frame; what is not recomputed stays."""

    def __init__(self, job: Job):
        self.folder, self.written = Path(job.folder) / "masks", 0
        self._submit = WriteBehind(self._write)

    def write(self, index: int, labels: np.ndarray) -> None:
        self._submit(index, labels)

    def _write(self, index: int, labels: np.ndarray) -> None:
        try:
            write_whole(self.folder / f"{index:05d}.png", masks.encode_mask(labels))
        except VideoError as error:  # its sentence names a path of the server
            raise VideoError(
                "the server could not store a mask, its disk is full or failing; what is done is kept, "
                "try again later"
            ) from error
        self.written += 1

    def close(self) -> None:
        self._submit.close()


def picture(image: np.ndarray, labels: np.ndarray, job: Job) -> bytes:
    """The live preview: a frame with its mask, at most `preview_side` wide, as JPEG."""
    small = Image.fromarray(image)
    small.thumbnail((job.preview_side, job.preview_side), Image.Resampling.BILINEAR, reducing_gap=1.5)
    shape = Image.fromarray(labels).resize(small.size, Image.Resampling.NEAREST)
    mixed = masks.overlay(np.asarray(small), np.asarray(shape), alpha=job.opacity)
    buffer = io.BytesIO()
    Image.fromarray(mixed).save(buffer, format="JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


def process_bytes() -> int:
    """Memory in use now: the GPU's tensors where there is a GPU, else this process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss
