"""A whole clip from prompts on any of its frames: the engine of the command.

Every frame gets a mask: forward from the earliest prompted frame to the end, then backward from there to
frame 0.  The clip is decoded as a stream, by the thread of `propagate`, and never held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_core.engine.forecast import predict
from stm_core.engine.prompts import Prompt, Reference, check_begun, check_inside, listed
from stm_core.engine.propagate import FrameResult, propagate
from stm_core.errors import MaskError, PromptError
from stm_core.media.video import VideoInfo, VideoLimits, VideoReader, probe, read_video
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, check_model


@dataclass(frozen=True)
class ClipFrame:
    """One segmented frame of a file."""

    image: np.ndarray  # uint8 (H, W, 3) RGB, upright
    seconds: float  # its time in the clip
    result: FrameResult  # index, labels, probabilities, memory


def segment_clip(
    model: Model,
    path: Path | str,
    prompts: Prompt | Sequence[Prompt],
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    limits: VideoLimits | None = None,
    warnings: list[str] | None = None,
) -> Iterator[ClipFrame]:
    """Yield every frame of a clip with its mask: earliest prompt to the end, then backward to frame 0.

    path: video file, folder or zip of pictures.  size: short side that the network sees (None: as it is).
    warnings: a list that receives what was odd about the file, such as a missing end.
    An object is followed from its first prompt on; the frames before the earliest prompt show those objects
    that were prompted there.
    Raises VideoError, LimitError, MaskError, PromptError; before any frame is computed where it can.
    """
    check_model(model)
    limits, notes = VideoLimits() if limits is None else limits, [] if warnings is None else warnings
    info, memory = probe(path, limits=limits), MemoryConfig() if memory is None else memory
    path = info.path
    prompts = check_prompts(info, prompts)
    first = last = prompts[0].frame
    _check_budget(model, info, prompts, memory, size)
    begun = [prompt for prompt in prompts if prompt.frame == first]
    objects = {i for prompt in begun for i in prompt.objects}
    options = {"limits": limits, "memory": memory, "size": size, "notes": notes}
    later = {prompt.frame for prompt in prompts if prompt.frame > first}
    references: list[Reference] = []
    empty = True
    for step in _one_way(model, path, prompts, **options):
        last, empty = step.result.index, False
        if first > 0 and last in later:  # for the way back
            references.append(Reference(last, step.image, step.result.labels))
        yield step
    if empty:
        raise PromptError(f"frame {first} was prompted, but the clip ends before it; choose an earlier frame")
    if later and max(later) > last:
        notes.append(f"the prompt on frame {max(later)} was not used: the clip ends after frame {last}")
    if first > 0:
        known = _only(references, objects)
        for step in _one_way(model, path, begun, step=-1, references=known, **options):
            last = step.result.index
            if last < first:  # the prompted frame itself came first, on the way forward
                yield step
        if last > 0:
            notes.append(f"the frames before {last} could not be read again; they have no mask")


def _one_way(
    model: Model,
    path: Path,
    prompts: list[Prompt],
    *,
    limits: VideoLimits,
    notes: list[str],
    step: int = 1,
    **options,
) -> Iterator[ClipFrame]:
    """Yield the frames from the earliest prompt to the end (step 1) or to the beginning (step -1)."""
    first = prompts[0].frame
    way = {"start": first} if step > 0 else {"start": 0, "stop": first + 1, "reverse": True}
    frames = _Frames(read_video(path, limits=limits, **way), first, step)
    try:
        results = propagate(model, frames, prompts, start=first, step=step, **options)
        with closing(results):
            for result in results:
                yield frames.join(result)
    finally:
        frames.close()
        notes.extend(note for note in frames.warnings if note not in notes)


def _check_budget(
    model: Model, info: VideoInfo, prompts: list[Prompt], memory: MemoryConfig, size: int | None
) -> None:
    """Raises LimitError when the budget cannot hold all prompted frames with all their objects."""
    objects = {i for prompt in prompts for i in prompt.objects}
    pinned = len({prompt.frame for prompt in prompts})
    clip = {"height": info.height, "width": info.width, "objects": len(objects), "frames": info.frames}
    predict(model.network, memory, **clip, dtype=model.dtype, pinned=pinned, size=size, device=model.device)


def check_prompts(info: VideoInfo, prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """The prompts sorted by frame.  Raises PromptError or MaskError when one does not fit the clip."""
    prompts = sorted(listed(prompts), key=lambda prompt: prompt.frame)
    if not prompts:
        raise PromptError("no prompt was given; give a mask or a click on one frame")
    height, width = info.height, info.width
    for prompt in prompts:
        if not 0 <= prompt.frame < info.frames:
            raise PromptError(
                f"frame {prompt.frame} was prompted, but the clip has frames 0 to {info.frames - 1}; "
                "choose one of them"
            )
        if prompt.labels is not None and prompt.labels.shape != (height, width):
            got = f"{prompt.labels.shape[1]}x{prompt.labels.shape[0]}"
            raise MaskError(
                f"the mask is {got}, the clip's frames are {width}x{height}; "
                "draw the mask on a frame of this clip"
            )
        check_inside(prompt.clicks or (), height, width)
    check_begun(prompts)
    return prompts


def _only(references: list[Reference], objects: set[int]) -> list[Reference]:
    """The references with only these objects: what was added later stays out of the earlier frames."""
    keep = np.zeros(256, bool)
    keep[list(objects)] = True
    kept = [
        Reference(r.index, r.frame, np.where(keep[r.labels], r.labels, 0).astype(np.uint8))
        for r in references
    ]
    return [reference for reference in kept if reference.labels.any()]


class _Frames:
    """Passes frames on to `propagate`, and keeps the few under way to join them with their results."""

    def __init__(self, reader: VideoReader, start: int, step: int):
        self._reader, self._start, self._step = reader, start, step
        self._under_way: deque[tuple[int, float, np.ndarray]] = deque()

    @property
    def warnings(self) -> list[str]:
        """What the reader found odd so far."""
        return self._reader.warnings

    def __iter__(self) -> Iterator[np.ndarray]:
        for n, image in enumerate(self._reader):  # in the thread that reads ahead
            self._under_way.append((self._start + n * self._step, self._reader.times[n], image))
            yield image

    def join(self, result: FrameResult) -> ClipFrame:
        """The result with its picture and time; earlier ones without a result are forgotten."""
        while True:
            index, seconds, image = self._under_way.popleft()
            if index == result.index:
                return ClipFrame(image, seconds, result)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
