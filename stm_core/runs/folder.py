"""A clip segmented into a folder: `masks/00000.png ...`, `overlay.mp4`, `report.json`, written while the
network works.

Whatever ends the run, what was finished is kept: masks are whole files, the report says where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError
from stm_core.media.video import VideoInfo, VideoLimits, probe
from stm_core.media.write import check_sides
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.clip import ClipFrame, check_prompts, segment_clip
from stm_core.runs.output import (
    OVERLAY,
    REPORT,
    MaskFolder,
    OverlayFile,
    check_folder,
    clear_results,
    mask_name,
    write_json,
    write_overlay,
)
from stm_core.runs.report import Report

if TYPE_CHECKING:
    from stm_core.networks.weights import Model

RETRIES = 3  # smaller sizes tried after the GPU ran out of memory
SMALLEST = 128  # short side in pixels below which a retry is pointless
log = logging.getLogger(__name__)


def segment_to_folder(
    model: Model,
    path: Path | str,
    prompts: Prompt | Sequence[Prompt],
    out: Path | str,
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    limits: VideoLimits | None = None,
) -> Generator[ClipFrame, None, dict]:
    """Yield the frames of `segment_clip` while writing `out/masks/*.png`, `overlay.mp4` and `report.json`.

    Returns the report (the generator's return value; `run_to_folder` hands it out).  Closing it early keeps
    the masks that were finished, the overlay so far when the prompt is on frame 0, and a report that says
    so.  When the GPU runs out of memory the run starts over with a smaller picture and budget, and the
    report says so.
    Raises StmError as `segment_clip`, and when the folder cannot be written.
    """
    path, out, memory, limits = Path(path), Path(out), memory or MemoryConfig(), limits or VideoLimits()
    info = probe(path, limits=limits)
    prompts = check_prompts(info, prompts)
    check_folder(out, path)
    check_sides(OVERLAY, info.width, info.height)
    notes = list(info.warnings)
    for attempt in range(RETRIES + 1):
        results = _Results(model, memory, size, out, info=info, in_order=prompts[0].frame == 0, notes=notes)
        try:
            return (
                yield from _attempt(model, path, prompts, results, memory=memory, size=size, limits=limits)
            )
        except torch.OutOfMemoryError as error:
            size, memory = smaller(min(size or info.height, info.height, info.width), memory)
            if attempt == RETRIES or size < SMALLEST:
                raise LimitError(
                    "the GPU ran out of memory even with a smaller picture; give a smaller --size or "
                    "--budget-mb, or --device cpu"
                ) from error
        torch.cuda.empty_cache()
        notes = [*info.warnings, done_again(size, memory)]
    raise AssertionError("the last attempt returns or raises")


def _attempt(
    model: Model, path: Path, prompts: list[Prompt], results: _Results, *, limits: VideoLimits, **options
) -> Generator[ClipFrame, None, dict]:
    """One run from the first frame to the last, and its report."""
    steps = segment_clip(model, path, prompts, limits=limits, warnings=results.report.warnings, **options)
    try:
        with closing(steps):
            for step in steps:
                results.add(step)
                yield step
        return results.finish(path, limits)
    except torch.OutOfMemoryError:
        results.drop()
        raise
    except BaseException as error:
        results.keep(error)
        raise


def done_again(size: int, memory: MemoryConfig) -> str:
    """What a run is told that was begun again with `smaller` values."""
    bound = memory.bound_bytes
    budget = "" if bound is None else f" with a memory budget of {bound / 2**20:.0f} MB"
    return f"the GPU ran out of memory: done again at {size} pixels{budget}"


def smaller(side: int, memory: MemoryConfig) -> tuple[int, MemoryConfig]:
    """What to try after memory ran out: three quarters of the short side (pixels) and half the budget."""
    return side * 3 // 4, replace(memory, budget_bytes=max(memory.budget_bytes // 2, 2**20))


class _Results:
    """The files of one attempt, and what becomes of them at the end, whichever end it is."""

    def __init__(
        self,
        model: Model,
        memory: MemoryConfig,
        size: int | None,
        out: Path,
        *,
        info: VideoInfo,
        in_order: bool,
        notes: list[str],
    ):
        self._out, self._info, self._size = out, info, size
        self.report = Report(model, memory, notes)
        self._masks = MaskFolder(out / "masks")
        self._film = OverlayFile(out / OVERLAY, info) if in_order else None  # else a second pass makes it

    def add(self, step: ClipFrame) -> None:
        """Queue the files of one frame, in place of those of an earlier run."""
        if not self.report.frames:
            clear_results(self._out)
        self.report.add(step.result)
        self._masks.write(mask_name(step.result.index), step.result.labels)
        if self._film is not None:
            self._film.write(step.image, step.result.labels, step.seconds)

    def finish(self, path: Path, limits: VideoLimits) -> dict:
        """Wait for the writers and write the report."""
        self._masks.close()
        if self._film is not None:
            self._film.close()
            self.report.warnings.extend(self._film.warnings)
        else:
            told = write_overlay(self._out / OVERLAY, self._info, self._out / "masks", limits)
            self.report.warnings.extend(told)
        return self._write_report()

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
        finishing = [self._masks.close]
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
        content = self.report.as_dict(self._masks.written, self._size)
        write_json(self._out / REPORT, content)
        return content


def run_to_folder(
    model: Model,
    path: Path | str,
    prompts: Prompt | Sequence[Prompt],
    out: Path | str,
    *,
    on_frame: Callable[[ClipFrame], None] | None = None,
    **options,
) -> dict:
    """Run `segment_to_folder` to its end; the report comes back.  on_frame: called after each frame."""
    steps = segment_to_folder(model, path, prompts, out, **options)
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if on_frame is not None:
                on_frame(step)
