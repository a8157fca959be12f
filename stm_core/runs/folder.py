"""A clip segmented into a folder: masks, overlay and report, written while the network works.

However the run ends, the finished files stay: masks are whole, and the report says where the run stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm_core.engine.prompts import Absent, Prompt
from stm_core.masks.mask_files import mask_name
from stm_core.media.kinds import check_sides
from stm_core.media.video import VideoInfo, VideoLimits, probe
from stm_core.media.written import Written
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.clip import Again, ClipFrame, run
from stm_core.runs.output import (
    OVERLAY,
    MaskFolder,
    OverlayFile,
    check_folder,
    check_results,
    write_overlay,
    written_in,
)
from stm_core.runs.plan import Part, Plan, planned
from stm_core.runs.report import Report
from stm_core.runs.source import FileSource

if TYPE_CHECKING:
    from stm_core.networks.weights import Model

log = logging.getLogger(__name__)


def segment_to_folder(
    model: Model,
    clip: Path | str | VideoInfo,
    prompts: Prompt | Sequence[Prompt],
    out: Path | str,
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    absent: Absent | None = None,
    part: Part | None = None,
    limits: VideoLimits | None = None,
) -> Generator[ClipFrame, None, dict]:
    """Yield the frames of `segment_clip` while writing `out/masks/*.png`, `overlay.mp4` and `report.json`.

    Returns the report (the generator's return value; `run_to_folder` returns it directly).
    clip: a path, or what `probe` said of it.
    Closing the generator early keeps the finished masks, a report that says so, and, when the prompt is on
    the first frame, the overlay so far. When the GPU runs out of memory, the run starts over with a smaller
    picture and budget, and the report says so.
    Raises StmError as `segment_clip` does. Raises OptionError when the folder cannot be written, or holds
    masks, an overlay or a report that no run of ours wrote.
    """
    out, limits = Path(out), limits or VideoLimits()
    info = clip if isinstance(clip, VideoInfo) else probe(clip, limits=limits)
    plan = planned(model, info, prompts, memory=memory, size=size, absent=absent, part=part)
    check_folder(out, info.path)
    check_sides(OVERLAY, info.width, info.height)
    written = written_in(out)
    kept = check_results(written, plan.prompts)
    notes = list(info.warnings)
    results = _Results(model, plan, written, info=info, kept=kept, notes=notes)
    try:
        with closing(run(model, plan, FileSource(info, limits), notes)) as steps:
            for step in steps:
                if isinstance(step, Again):
                    results.drop()
                    results = _Results(model, step.plan, written, info=info, kept=kept, notes=notes)
                elif step is not None:
                    results.add(step)
                    yield step
        return results.finish(limits)
    except BaseException as error:
        results.keep(error)
        raise


class _Results:
    """The files of one attempt: written frame by frame, then finished, dropped, or kept as they are."""

    def __init__(
        self,
        model: Model,
        plan: Plan,
        written: Written,
        *,
        info: VideoInfo,
        kept: set[str],
        notes: list[str],
    ):
        self._written, self._info, self._plan = written, info, plan
        self.report = Report(model, plan.memory, notes)
        self._masks = MaskFolder(written, kept=kept)
        # a run that begins in mid-clip goes both ways, so its film is made in a second pass over the clip
        self._film = OverlayFile(written, info, plan.start) if plan.first == plan.start else None

    def add(self, step: ClipFrame) -> None:
        """Queue the files of one frame, in place of those of an earlier run."""
        if not self.report.frames:
            self._written.begin(lambda name: name == OVERLAY)
        self.report.add(step.result)
        self._masks.write(mask_name(step.result.index), step.result.labels)
        if self._film is not None:
            self._film.write(step.image, step.result.labels, step.seconds)

    def finish(self, limits: VideoLimits) -> dict:
        """Wait for the writers and write the report."""
        self._masks.close()
        if self._film is not None:
            self._film.close()
            self.report.warnings.extend(self._film.warnings)
        else:
            self.report.warnings.extend(self._second_pass(limits))
        return self._write_report()

    def _second_pass(self, limits: VideoLimits) -> list[str]:
        return write_overlay(self._written, self._info, limits, self._plan.start, self._plan.stop)

    def drop(self) -> None:
        """Stop writing: another attempt begins, and writes over this one's masks."""
        self._masks.close()
        if self._film is not None:
            self._film.abort()

    def keep(self, error: BaseException) -> None:
        """Keep what is finished after a stop or a failure; a second error must not hide the first."""
        why = f"failed ({error})" if isinstance(error, Exception) else "stopped"
        film = "" if self._film is not None else f"; there is no {OVERLAY}"
        self.report.warnings.append(f"{why} after {self.report.frames} frames, which are kept{film}")
        finishing: list[Callable[[], object]] = [self._masks.close]
        if self._film is not None:
            finishing.append(self._film.close)
        if self.report.frames:
            finishing.append(self._write_report)
        for finish in finishing:
            try:
                finish()
            except Exception as second:
                log.debug("while keeping what was finished: %s", second)

    def _write_report(self) -> dict:
        clip = {"name": self._info.path.name, "path": os.path.abspath(self._info.path)}  # for `export`
        return self._written.report(
            {**self.report.as_dict(self._masks.written, self._plan.size), "clip": clip}
        )


def run_to_folder(
    model: Model,
    clip: Path | str | VideoInfo,
    prompts: Prompt | Sequence[Prompt],
    out: Path | str,
    *,
    on_frame: Callable[[ClipFrame], None] | None = None,
    **options: Any,
) -> dict:
    """Run `segment_to_folder` to its end; returns the report.  on_frame: called after each frame."""
    steps = segment_to_folder(model, clip, prompts, out, **options)
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if on_frame is not None:
                on_frame(step)
