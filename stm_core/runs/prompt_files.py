"""Prompts that a user gives as a file or as text, for any frames of a clip."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.errors import MaskError, PromptError
from stm_core.incoming.masks import read_masks, sparse
from stm_core.media.limits import VideoLimits


def read_prompts(
    text: str, size: tuple[int, int], frames: int, inside: range, limits: VideoLimits, *, every: bool = False
) -> list[Prompt]:
    """The prompts that a file holds, see `read_masks`, or that the text itself says as clicks.

    text: a path; or a JSON list of [frame, x, y, label, object].
    size, frames: of the clip, (H, W).
    inside: the frames that are tracked; masks of others are left out.
    every: all masks with an object are prompts, not only those that `sparse` chooses.
    Raises PromptError, MaskError, LimitError.
    """
    if text.lstrip().startswith("["):
        return clicks_of(text)
    masks = ((index, one) for index, one in read_masks(Path(text), size, frames, limits) if index in inside)
    found = [(index, one) for index, one in masks if one.any()] if every else sparse(masks)
    if not found:
        raise MaskError(
            f"{Path(text).name!r} has no object on frames {inside[0]} to {inside[-1]}, which are tracked; "
            "mark one there, or track other frames"
        )
    return [Prompt.from_mask(labels, frame=index) for index, labels in found]


def with_erased(
    prompts: Sequence[Prompt], erased: Iterable[tuple[int, int]], size: tuple[int, int]
) -> list[Prompt]:
    """The same prompts, with objects that are known to be missing from frames.

    erased: (object, frame). A frame without a prompt gets one that says only this.
    size: of the clip's frames, (H, W).
    Raises PromptError when the object is marked there or the frame has clicks.
    """
    found = {prompt.frame: prompt for prompt in prompts}
    for number, frame in erased:
        old = found.get(frame)
        labels = np.zeros(size, np.uint8) if old is None else old.labels
        if labels is None or (labels == number).any():
            raise PromptError(
                f"--erased says that object {number} is not on frame {frame}, which has "
                f"{'clicks' if labels is None else 'a mask of it'}; leave one of the two out"
            )
        spoken = {number, *(old.objects if old else ())}
        found[frame] = Prompt.from_mask(labels, frame=frame, objects=spoken)
    return list(found.values())


def clicks_of(text: str) -> list[Prompt]:
    """A prompt for each frame in a JSON list of [frame, x, y, label, object].  Raises PromptError."""
    try:
        rows = json.loads(text)
        by_frame: dict[int, list] = {}  # what is no whole number is refused below
        for frame, *click in rows:
            by_frame.setdefault(frame, []).append(click)
    except (ValueError, TypeError, RecursionError) as error:
        raise PromptError(
            f"--prompts {text[:40]} is no list of clicks; write [[0,96,128,1,1], ...]: frame, x, y, label "
            "and object of each click"
        ) from error
    return [Prompt.from_clicks(clicks, frame=frame) for frame, clicks in by_frame.items()]
