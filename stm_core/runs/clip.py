"""A whole clip from prompts on any of its frames: the one loop behind the command, the API and the page.

A `Plan` (in `plan.py`) says which frames get a mask, from what and in which order. A `Source` (in
`source.py`) gives the frames. `run` yields each frame once with its mask. The clip is read as a stream and
never held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from stm_core.engine.geometry import processed_side
from stm_core.engine.prompts import Absent, Prompt, Reference
from stm_core.engine.propagate import FrameResult, propagate
from stm_core.errors import LimitError, PromptError
from stm_core.faults import OUT_OF_MEMORY
from stm_core.masks.mask_files import decode_mask, encode_mask
from stm_core.media.video import VideoLimits, probe
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, check_model
from stm_core.runs.agreement import Agreement
from stm_core.runs.plan import Part, Plan, planned
from stm_core.runs.source import FileSource, Source

RETRIES = 3  # smaller sizes tried after the GPU ran out of memory
SMALLEST = 128  # short side in pixels below which a retry is pointless


@dataclass(frozen=True)
class ClipFrame:
    """One segmented frame of a clip.

    image: uint8 (H, W, 3) RGB, upright.
    seconds: its time in the clip.
    result: index, labels, probabilities, memory.
    agreement: overlap (IoU) of each object with the mask that was there, where the plan continues others.
    """

    image: np.ndarray
    seconds: float
    result: FrameResult
    agreement: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Again:
    """The GPU ran out of memory, so the run begins again and yields all frames once more.

    plan: the smaller plan.
    why: a sentence for people.
    """

    plan: Plan
    why: str


def segment_clip(
    model: Model,
    path: Path | str,
    prompts: Prompt | Sequence[Prompt],
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    absent: Absent | None = None,
    part: Part | None = None,
    limits: VideoLimits | None = None,
    warnings: list[str] | None = None,
) -> Generator[ClipFrame, None, None]:
    """Yield every frame of a clip with its mask: earliest prompt to the end, then backward to frame 0.

    path: video file, folder or zip of pictures.
    size: most pixels of the short side that the network sees; None: as it is, and small clips enlarged.
    absent: (first, last) frames of ranges in which an object is not there, by id.
    part: (first, last) frame of what is tracked of the clip; None: all.
    warnings: a list that receives what is wrong with the file, such as a missing end.
    An object is followed from its first prompt on. Frames before the earliest prompt show only the objects of
    that prompt.
    Raises VideoError, LimitError, MaskError, PromptError; before any frame is computed where it can.
    """
    check_model(model)
    limits = VideoLimits() if limits is None else limits
    info = probe(path, limits=limits)
    plan = planned(model, info, prompts, memory=memory, size=size, absent=absent, part=part)
    steps = follow(model, plan, FileSource(info, limits), [] if warnings is None else warnings)
    with closing(steps):
        yield from (step for step in steps if step is not None)


def run(
    model: Model, plan: Plan, source: Source, notes: list[str]
) -> Generator[ClipFrame | Again | None, None, None]:
    """Every frame of a plan once, with its mask, as `follow` yields them.

    When the GPU runs out of memory, it yields an Again, and then all frames of a smaller plan. None comes as
    in `follow`.
    notes: receives what a user should know; reset when the run begins again.
    Raises LimitError if even a small picture does not fit, and what `follow` raises.
    """
    before = list(notes)
    for _ in range(RETRIES):
        try:
            yield from follow(model, plan, source, notes)
            return
        except torch.OutOfMemoryError as error:
            size = processed_side(model.network, plan.height, plan.width, plan.size) * 3 // 4
            if size < SMALLEST:
                raise LimitError(OUT_OF_MEMORY) from error
            plan = plan.smaller(size)
        torch.cuda.empty_cache()
        again = Again(plan, _told(plan))
        notes[:] = [*before, again.why]
        yield again
    try:
        yield from follow(model, plan, source, notes)
    except torch.OutOfMemoryError as error:
        raise LimitError(OUT_OF_MEMORY) from error


def _told(plan: Plan) -> str:
    bound = plan.memory.bound_bytes
    budget = "" if bound is None else f" with a memory limit of {bound / 2**20:.0f} MB"
    return f"the GPU ran out of memory; the run began again at {plan.size} pixels{budget}"


def follow(
    model: Model, plan: Plan, source: Source, notes: list[str]
) -> Generator[ClipFrame | None, None, None]:
    """Every frame of a plan once, with its mask: direction after direction.

    A plan that continues earlier masks ends a direction once the masks come out as before (`Agreement`).
    None comes after each marked frame that is only put into memory, so that a caller can stop there too.
    notes: receives what a user should know.  Closing the generator frees the clip and the memory.
    Raises PromptError if the clip ends before the plan's first frame, and what `propagate` and sources raise.
    """
    known, done = dict(plan.known), set()
    try:
        for direction in plan.directions:
            last, agreement = plan.first - direction, Agreement(plan, direction)
            with closing(_one_way(model, plan, source, direction, known)) as frames:
                for frame in frames:
                    if frame is None:
                        yield None
                        continue
                    last = frame.result.index
                    if last in done:
                        continue
                    done.add(last)
                    if frame.result.prompted:
                        known[last] = encode_mask(frame.result.labels)
                    yield replace(frame, agreement=agreement.of(frame.result))
                    if agreement.settled:
                        break
            if not done:
                raise PromptError(
                    f"frame {plan.first} is marked, but the clip ends before it; choose an earlier frame"
                )
            notes += [] if agreement.settled else _missed(plan, direction, last)
    finally:
        notes += [note for note in source.warnings if note not in notes]


def _one_way(
    model: Model, plan: Plan, source: Source, direction: int, known: Mapping[int, bytes]
) -> Generator[ClipFrame | None, None, None]:
    """The frames from the first one to the end (direction 1) or back to the start (-1); None as `follow`."""
    way = plan.way(direction)
    prompts = [prompt for prompt in plan.prompts if prompt.frame in way]
    on_way = {prompt.frame for prompt in prompts}
    begun = {i for prompt in prompts for i in prompt.objects}
    only = None if direction > 0 else begun  # what was added later stays out of the earlier frames
    references = []
    for index in sorted(set(known) - on_way):
        references.append(_reference(source, index, known[index], only))
        yield None
    under_way: deque[tuple[int, np.ndarray]] = deque()

    def images() -> Generator[np.ndarray, None, None]:  # runs in the thread that reads ahead
        with closing(source.frames(way.start, way.stop, reverse=direction < 0)) as frames:
            for n, image in enumerate(frames):
                under_way.append((plan.first + direction * n, image))
                yield image

    results = propagate(
        model,
        images(),
        prompts,
        memory=plan.memory,
        size=plan.size,
        start=plan.first,
        step=direction,
        references=[reference for reference in references if reference is not None],
        absent=plan.absent,
    )
    with closing(results):
        for result in results:
            index, image = under_way.popleft()
            while index != result.index:
                index, image = under_way.popleft()
            yield ClipFrame(image, source.seconds(index), result)


def _reference(source: Source, index: int, mask: bytes, only: set[int] | None) -> Reference | None:
    """Another marked frame for the memory, with these objects only; None when it has none of them."""
    labels = decode_mask(mask)
    if only is not None:
        labels = np.where(np.isin(labels, list(only)), labels, 0).astype(np.uint8)
    if not labels.any():
        return None
    with closing(source.frames(index, index + 1)) as frames:
        image = next(frames, None)
    return None if image is None else Reference(index, image, labels)


def _missed(plan: Plan, direction: int, last: int) -> list[str]:
    """Notes on what was not reached when a direction ended at frame `last`: a file may lack its end."""
    if direction < 0:
        told = f"the frames before {last} could not be read again, so this run gave them no mask"
        return [told] if last > plan.start else []
    unused = [prompt.frame for prompt in plan.prompts if last < prompt.frame < plan.stop]
    return [f"the prompt on frame {n} was not used: the clip ends after frame {last}" for n in unused]
