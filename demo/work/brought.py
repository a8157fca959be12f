"""Masks that a visitor brings from another program, as marks or as a result that can be corrected."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np

from demo.guard.process import Guard
from demo.limits import Limits
from demo.work import changes
from demo.work.opened import Clip
from demo.work.run import Run
from demo.work.work import Work
from stm_core.errors import MaskError
from stm_core.incoming.masks import SPARSE
from stm_core.masks.mask_files import decode_mask, encode_mask, object_ids
from stm_core.media.files import write_whole
from stm_core.runs.record import record_from


def read(guard: Guard, clip: Clip, limits: Limits, paths: Sequence[str]) -> dict[int, bytes]:
    """The masks in files, PNG by frame, of the part of the clip that is open; read behind the guard.

    They may count the frames of the whole clip, or those of the part alone.  Raises MaskError, LimitError.
    """
    total = clip.info["frames"]
    try:
        found = dict(stream(guard, clip.size, limits, paths, total))
    except MaskError:
        if clip.frames == total:
            raise
        found = {clip.start + n: one for n, one in stream(guard, clip.size, limits, paths, clip.frames)}
    inside = {index: one for index, one in found.items() if clip.start <= index < clip.stop}
    if not any(decode_mask(one).any() for one in inside.values()):
        raise MaskError("this file has no mask of the frames that are open; choose another part of the clip")
    return inside


def stream(
    guard: Guard, size: tuple[int, int], limits: Limits, paths: Sequence[str], frames: int
) -> Iterator[tuple[int, bytes]]:
    """(frame, PNG) of the masks in files, for a clip of so many frames of size (H, W).

    Raises MaskError, LimitError.
    """
    height, width = size
    files = {str(n): path for n, path in enumerate(paths)}
    most = {"max_bytes": limits.upload_mb * 2**20, "max_pixels": limits.max_pixels}
    for answer, labels in guard.stream(
        "brought", height=height, width=width, frames=frames, limits=most, extra=files
    ):
        if labels is None or labels.shape != (height, width):
            raise MaskError("the masks in this file are not as large as the clip; export them at its size")
        index = int(answer["index"])
        if not 0 <= index < frames:  # no reader gives this, unless an attacker has taken it over
            raise MaskError("the masks in this file belong to other frames; export them again")
        yield index, encode_mask(labels)


def write(masks: Iterable[tuple[int, bytes]], folder: Path) -> list[int]:
    """Write masks (frame, PNG) into a folder, as 00000.png and so on; the frames come back, sorted."""
    folder.mkdir(exist_ok=True)
    frames = []
    for index, packed in masks:
        write_whole(folder / f"{index:05d}.png", packed)
        frames.append(index)
    return sorted(frames)


def take(work: Work, masks: dict[int, bytes], limits: Limits) -> str:
    """Take the masks into the work, a few as marks, more as a result; returns a sentence on what was done.

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
                changes.import_labels(work, index, labels[index], limits)
        work.go(marked[0])
        work.jump += 1
        return f"Marked from the file: {len(marked)} frame{'s' * (len(marked) > 1)}. Press Track."
    with work.one_step():
        work.show(_as_run(work, labels))
        work.objects = objects
    return f"{len(labels)} masks were taken as a result. Correct a frame, then continue from there."


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
