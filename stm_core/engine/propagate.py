"""A clip goes in, masks come out: one result for each frame, in bounded memory."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np

from stm_core.engine.prompts import Absent, Prompt, Reference, absent_at, check_absent, listed
from stm_core.engine.result import FrameResult, MemoryReport
from stm_core.engine.step import Propagator
from stm_core.engine.threads import DEPTH, read_ahead
from stm_core.errors import OptionError, PromptError, VideoError
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model

__all__ = ["FrameResult", "MemoryReport", "Prompt", "Propagator", "Reference", "propagate"]

log = logging.getLogger(__name__)


def propagate(
    model: Model,
    frames: Iterable[np.ndarray],
    prompts: Prompt | Sequence[Prompt] = (),
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    start: int = 0,
    step: int = 1,
    references: Sequence[Reference] = (),
    absent: Absent | None = None,
    ahead: int = DEPTH,
) -> Generator[FrameResult, None, None]:
    """Yield a FrameResult for each frame from the first prompted one on; frames before it are skipped.

    frames: uint8 (H, W, 3) RGB of one size. A thread reads a few ahead; the clip is never held.
    prompts: on any of these frames.
    memory: what is remembered.
    size: most pixels of the short side at which frames are processed; None: as they are, and small ones
        enlarged (`geometry.processed_side`).
    start: index of the first of the frames.
    step: 1, or -1 for frames that come backwards.
    references: other frames whose masks are known; with them the first frame needs no prompt.
    absent: by object id, ranges of frames (first, last), both included, in which it is not there; it gets no
        pixel there.
    ahead: how many frames are read ahead; 0: without a thread.
    Closing the generator stops the thread and frees the memory.
    Raises PromptError (no prompt, or none of these frames is prompted), and what `Propagator` raises.
    """
    prompts = listed(prompts)
    if not isinstance(frames, Iterable):
        raise VideoError(f"frames are {type(frames).__name__}; give a list or generator of uint8 arrays")
    if step not in (1, -1):
        raise OptionError(f"step is {step!r}, expected 1 (forward) or -1 (backward)")
    if not prompts and not references:
        raise PromptError("no prompt was given; give a mask or a click on one frame")
    for prompt in prompts:
        if (prompt.frame - start) * step < 0:
            raise PromptError(
                f"frame {prompt.frame} is prompted, but the frames begin at {start}; give the frames from "
                f"{prompt.frame} on"
            )
    check_absent(absent or {}, prompts)
    engine = Propagator(model, memory=memory, size=size)
    source = read_ahead(frames, ahead) if ahead else iter(frames)
    return _results(engine, source, prompts, references, absent or {}, start, step)


def _results(
    engine: Propagator,
    source: Iterator[np.ndarray],
    prompts: Sequence[Prompt],
    references: Sequence[Reference],
    absent: Absent,
    start: int,
    step: int,
) -> Generator[FrameResult, None, None]:
    index, begun = start - step, bool(references)
    try:
        for reference in references:
            engine.remember(reference)
        for index, image in zip(itertools.count(start, step), source, strict=False):
            here = [prompt for prompt in prompts if prompt.frame == index]
            begun = begun or bool(here)
            if begun:
                yield engine.step(index, image, here, absent_at(absent, index))
        unused = [prompt.frame for prompt in prompts if (prompt.frame - index) * step > 0]
        if not begun and index == start - step:
            after = f" from frame {start} on" if start else ""
            raise PromptError(f"the clip has no frames{after}; give at least the prompted one")
        if not begun:
            raise PromptError(
                f"frame {unused[0]} is prompted, but the last frame is {index}; choose one that exists"
            )
        if unused:
            log.warning("prompts on frames %s were not used: the last frame is %d", unused, index)
    finally:
        if hasattr(source, "close"):
            source.close()
        engine.close()
