"""Masks of another program for a clip, whatever file they come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stm_core.errors import MaskError
from stm_core.incoming.coco_reader import read_coco
from stm_core.incoming.cvat_reader import read_cvat
from stm_core.incoming.mask_pictures import open_zip, read_matte, read_sequence
from stm_core.masks.mask_files import read_mask
from stm_core.media.limits import SAFE_LIMITS, VideoLimits

STILLS = (".png", ".bmp", ".gif", ".tif", ".tiff", ".jpg", ".jpeg")
SPARSE = 8  # so many masks are all meant as prompts; of more, those on which an object appears first


def read_masks(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits = SAFE_LIMITS
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) in order, of the frames that have a mask, also an empty one.

    path: COCO JSON, CVAT for images 1.1 (XML), a ZIP of one of them, a folder or ZIP of mask pictures, one
        mask picture (of frame 0), or a black and white film.
    size, frames: of the clip, (H, W).
    Raises MaskError or LimitError of one sentence, maybe only after some masks.
    """
    any_mask = False
    for index, labels in _read(path, size, frames, limits):
        any_mask = any_mask or bool(labels.any())
        yield index, labels
    if not any_mask:
        raise MaskError(f"{path.name!r} has no object on any frame; mark at least one")


def _read(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    kind = path.suffix.lower()
    if path.is_dir():
        yield from read_sequence(path, size, frames, limits)
    elif not path.is_file():
        raise MaskError(f"there is no file {str(path)!r}; check the path")
    elif kind in (".json", ".xml"):
        limits.check_bytes(path.stat().st_size, path.name)
        read = read_coco if kind == ".json" else read_cvat
        yield from read(path.read_bytes(), path.name, size, frames)
    elif kind == ".zip":
        yield from _read_zip(path, size, frames, limits)
    elif kind in STILLS:
        yield 0, read_mask(path, size, limits)
    else:
        yield from read_matte(path, size, frames, limits)


def _read_zip(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    for ending, read in ((".xml", read_cvat), (".json", read_coco)):
        found = open_zip(path, lambda name, ending=ending: name.lower().endswith(ending), limits)  # type: ignore[misc]
        if found is not None:
            yield from read(found[1], found[0], size, frames)
            return
    yield from read_sequence(path, size, frames, limits)


def sparse(masks: Iterator[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Those masks that are prompts: all with an object where they are few; else each object's first."""
    few: list[tuple[int, np.ndarray]] = []
    first: list[tuple[int, np.ndarray]] = []
    seen: set[int] = set()
    count = 0
    for index, labels in masks:
        present = set(np.unique(labels).tolist()) - {0}
        count += bool(present)
        if present and count <= SPARSE:
            few.append((index, labels))
        if present - seen:
            first.append((index, labels))
        seen |= present
    return few if count <= SPARSE else first
