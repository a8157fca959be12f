"""Black and white films, and films with alpha: each is the mask of one object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stm_core.errors import MaskError, VideoError
from stm_core.incoming.mask_pictures import COLOURED
from stm_core.incoming.numbering import check_size, ids_of
from stm_core.media.limits import VideoLimits
from stm_core.media.video import VideoInfo, probe, read_video

FILMS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")


def is_film(name: str) -> bool:
    """Whether a file may be a film, by its name."""
    return name.lower().endswith(FILMS) and not name.startswith(".")


def read_mattes(
    paths: Sequence[Path], size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) from one film per object; where they overlap, the later film wins.

    The id of an object is the last number in the name of its film, if all differ; else they count in order.
    Raises MaskError, LimitError.
    """
    numbered = [re.sub(r"\D+$", "", path.stem) for path in paths]
    by_name = 1 < len(paths) == len(set(numbered))
    ids = list(ids_of(numbered if by_name else range(1, len(paths) + 1), paths[0].name).values())
    films = [_read_matte(path, size, frames, limits) for path in paths]
    for index, masks in enumerate(zip(*films, strict=True)):
        labels = np.zeros(size, np.uint8)
        for number, mask in zip(ids, masks, strict=True):
            labels[mask] = number
        yield index, labels


def _read_matte(path: Path, size: tuple[int, int], frames: int, limits: VideoLimits) -> Iterator[np.ndarray]:
    """The mask bool (H, W) of each frame: where it is opaque, or white in a film that is opaque all over.

    A film one pixel larger, because its codec takes even sizes only, is cut.  Raises MaskError, LimitError.
    """
    info = _checked(path, size, frames, limits)
    cut_out = info.alpha and _is_transparent(info, limits)
    done = 0
    with read_video(info, limits, alpha=cut_out) as reader:
        for image in reader:
            done += 1
            inside = image[: size[0], : size[1]]
            yield inside[..., 3] > 127 if cut_out else _white(inside, path.name)
    if done < frames:
        raise MaskError(f"{path.name!r} breaks off after {done} of {frames} frames; export it again")


def _checked(path: Path, size: tuple[int, int], frames: int, limits: VideoLimits) -> VideoInfo:
    """What the film is.  Raises MaskError when it is no film of the clip's size and length."""
    try:
        info = probe(path, limits, count=True)
    except VideoError as error:
        if not is_film(path.name):
            raise MaskError(
                f"{path.name!r} holds no masks that can be read; give COCO JSON, CVAT XML, mask pictures, a "
                "ZIP of them, or a film that is black and white or has alpha"
            ) from error
        raise MaskError(str(error)) from error
    if info.frames != frames:
        raise MaskError(
            f"{path.name!r} has {info.frames} frames, the clip has {frames}; export one mask a frame"
        )
    padded = size[0] + size[0] % 2, size[1] + size[1] % 2
    if (info.height, info.width) != padded:
        check_size(repr(path.name), (info.height, info.width), size)
    return info


def _is_transparent(info: VideoInfo, limits: VideoLimits) -> bool:
    """Whether a film with alpha has a transparent pixel on any frame."""
    with read_video(info, limits, alpha=True) as reader:
        return any((image[..., 3] <= 127).any() for image in reader)


def _white(image: np.ndarray, name: str) -> np.ndarray:
    if (np.ptp(image, axis=2) > COLOURED).mean() > 0.01:
        raise MaskError(
            f"{name!r} is a film in colours without alpha; export one object in white on black, or cut out "
            "with alpha"
        )
    return image.mean(axis=2) > 127
