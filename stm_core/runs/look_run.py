"""A look inside a clip: segment it up to a frame, and find where a pixel of that frame looked in memory.

`write_look` writes what the command `look` leaves: `weights.npz`, `look.json`, `look.png`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stm_core.engine.look import Look, gone_before, look
from stm_core.engine.prompts import Prompt, check_inside
from stm_core.engine.result import FrameResult, Held
from stm_core.errors import OptionError, VideoError
from stm_core.media.video import VideoInfo, VideoLimits, probe
from stm_core.media.written import Written, as_json
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, check_model
from stm_core.runs.clip import follow
from stm_core.runs.look_picture import look_picture
from stm_core.runs.output import check_folder
from stm_core.runs.plan import Plan, planned
from stm_core.runs.source import FileSource, Source

WEIGHTS, WORDS, PICTURE = "weights.npz", "look.json", "look.png"
NOTES, REPORT = ".look.notes", ".look.report.json"


@dataclass(frozen=True, eq=False)
class LookedClip:
    """A look at a clip, and the frames that it is about.

    images: uint8 (H, W, 3) by index: the frame itself and the stored ones.
    labels: uint8 (H, W), the mask of the frame.
    """

    look: Look
    images: dict[int, np.ndarray]
    labels: np.ndarray

    @property
    def picture(self) -> np.ndarray:
        """The look as one picture, uint8 (H, W, 3)."""
        return look_picture(self.look, self.images, self.labels)


def look_clip(
    model: Model,
    clip: Path | str | VideoInfo,
    prompts: Prompt | Sequence[Prompt],
    frame: int,
    at: tuple[float, float],
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    limits: VideoLimits | None = None,
    on_frame: Callable[[], None] | None = None,
) -> LookedClip:
    """Where pixel `at` (x, y) of a frame of a clip looks, when the clip is segmented as `segment_clip` does.

    clip: a path, or what `probe` said of it.
    on_frame: called after each frame on the way.
    Raises what `segment_clip` and `look` raise.
    """
    check_model(model)
    limits = limits or VideoLimits()
    info = clip if isinstance(clip, VideoInfo) else probe(clip, limits=limits)
    if not 0 <= frame < info.frames:
        raise OptionError(f"there is no frame {frame}; the clip has frames 0 to {info.frames - 1}")
    check_inside([at], info.height, info.width)
    plan = planned(model, info, prompts, memory=memory, size=size)
    source = FileSource(info, limits)
    way = _Way(model)
    with closing(follow(model, plan, source, [])) as steps:
        for step in steps:
            if step is None:
                continue
            way.add(step.image, step.result)
            if on_frame is not None:
                on_frame()
            if step.result.index == frame:
                return way.looked(plan, frame, at, source)
    raise VideoError(f"frame {frame} was not reached: the clip ends before it; choose an earlier one")


class _Way:
    """Keeps, on the way to a frame, the frames and masks that memory may hold, and what each read saw."""

    def __init__(self, model: Model):
        self.model = model
        self.images: dict[int, np.ndarray] = {}
        self.masks: dict[int, np.ndarray] = {}
        self.labels = np.zeros((0, 0), np.uint8)  # of the last frame
        self.prompted: set[int] = set()
        self.read: dict[int, tuple[Held, ...]] = {}

    def add(self, image: np.ndarray, result: FrameResult) -> None:
        index, soft = result.index, not self.model.network.shared_keys  # keys that depend on the masks
        self.images[index], self.labels = image, result.labels
        self.masks[index] = result.masks if soft and not result.prompted else result.labels
        self.read[index] = result.memory.read
        self.prompted |= {index} if result.prompted else set()
        kept = {index, *result.memory.frames, *(one.t for one in result.memory.read)} | self.prompted
        self.images = {t: one for t, one in self.images.items() if t in kept}
        self.masks = {t: one for t, one in self.masks.items() if t in kept}

    def looked(self, plan: Plan, frame: int, at: tuple[float, float], source: Source) -> LookedClip:
        first = plan.first
        step = 1 if frame >= first else -1
        way = range(first, frame + step, step)
        gone = gone_before((index, self.read[index]) for index in way if index in self.read)
        masks = {**self.masks, frame: self.labels}
        for t in {one.t for one in self.read[frame]} - set(self.images):  # marked, and not on the way
            with closing(source.frames(t, t + 1)) as images:
                self.images[t] = next(images)
        found = look(
            *(self.model, self.images, self.read[frame], masks, frame, at),
            memory=plan.memory,
            size=plan.size,
            gone=gone,
        )
        kept = {frame, *(one.t for one in found.stored)}
        return LookedClip(found, {t: self.images[t] for t in sorted(kept)}, self.labels)


def check_look(out: Path, clip: Path) -> Written:
    """Our files of earlier looks in a folder.  Raises OptionError if another file would be replaced."""
    check_folder(out, clip)
    written = Written(out, NOTES, REPORT)
    written.check([WEIGHTS, WORDS, PICTURE])
    return written


def look_files(found: Look, picture: np.ndarray) -> dict[str, bytes]:
    """The files of a look, name -> content: `look.json`, `look.png` and `weights.npz`.

    picture: uint8 (H, W, 3), for `look.png`.
    `weights.npz` holds a float32 (H, W) array for each stored frame, named `t00005`.
    """
    weights, drawn = io.BytesIO(), io.BytesIO()
    arrays: dict[str, Any] = {f"t{one.t:05d}": one.weights for one in found.stored}
    np.savez_compressed(weights, **arrays)
    Image.fromarray(picture).save(drawn, "PNG")
    return {WEIGHTS: weights.getvalue(), WORDS: as_json(found.as_dict()), PICTURE: drawn.getvalue()}


def write_look(found: LookedClip, written: Written) -> None:
    """Write the files of a look."""
    files = look_files(found.look, found.picture)
    written.begin(lambda name: True)
    for name, data in files.items():
        written.write(name, data)
    written.report({})
