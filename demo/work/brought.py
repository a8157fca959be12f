"""Masks that a visitor brings from another program, as marks or as a result that can be corrected."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np

from demo.guard.process import Guard
from demo.limits import Limits
from demo.work.opened import Clip
from demo.work.run import Run
from demo.work.work import Work
from stm_core.errors import MaskError
from stm_core.incoming.masks import SPARSE
from stm_core.masks.mask_files import decode_mask, encode_mask, object_ids
from stm_core.media.files import write_whole
from stm_core.runs.record import record_from


def read(guard: Guard, clip: Clip, limits: Limits, path: str) -> dict[int, bytes]:
    """The masks in a file, PNG by frame, of the part of the clip that is open; read behind the guard.

    A file may count the frames of the whole clip, or those of the part alone.  Raises MaskError, LimitError.
    """
    total = clip.info["frames"]
    try:
        found = dict(_stream(guard, clip, limits, path, total))
    except MaskError:
        if clip.frames == total:
            raise
        found = {clip.start + n: one for n, one in _stream(guard, clip, limits, path, clip.frames)}
    inside = {index: one for index, one in found.items() if clip.start <= index < clip.stop}
    if not any(decode_mask(one).any() for one in inside.values()):
        raise MaskError("this file has no mask of the frames that are open; choose another part of the clip")
    return inside


def _stream(guard: Guard, clip: Clip, limits: Limits, path: str, frames: int) -> Iterator[tuple[int, bytes]]:
    height, width = clip.size
    most = {"max_bytes": limits.upload_mb * 2**20, "max_pixels": limits.max_pixels}
    for answer, labels in guard.stream(
        "brought", path=path, height=height, width=width, frames=frames, limits=most
    ):
        if labels is None or labels.shape != (height, width):
            raise MaskError("the masks of this file have another size; export them at the clip's size")
        index = int(answer["index"])
        if not 0 <= index < frames:  # no file can say so, but who reads it may have been taken over
            raise MaskError("the masks of this file belong to other frames; export them again")
        yield index, encode_mask(labels)


def take(work: Work, masks: dict[int, bytes], limits: Limits) -> str:
    """Take the masks into the work, a few as marks, more as a result; what was done comes back in words.

    Nothing is changed when they do not fit.  Raises LimitError, MaskError.
    """
    labels = {index: decode_mask(one) for index, one in masks.items()}
    marked = [index for index in sorted(labels) if labels[index].any()]
    found = sorted({number for index in marked for number in object_ids(labels[index])})
    objects = deepcopy(work.objects)
    objects.adopt(found, limits.max_objects)
    if len(marked) <= SPARSE:
        with work.one_step(marked[0]):
            for index in marked:
                work.import_labels(index, labels[index], limits)
        work.go(marked[0])
        work.jump += 1
        return f"Marked from the file: {len(marked)} frame{'s' * (len(marked) > 1)}. Press Track."
    with work.one_step():
        work.show(_as_run(work, labels))
        work.objects = objects
    return f"{len(labels)} masks are taken as a result. Correct a frame, then continue from there."


def _as_run(work: Work, labels: dict[int, np.ndarray]) -> Run:
    """An ended run with these masks."""
    run = Run.new(work.clip.folder)
    for index, one in labels.items():
        path = run.mask_path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), encode_mask(one))
        run.records[index] = record_from(one, object_ids(one), {})
    run.state = "done"
    return run
